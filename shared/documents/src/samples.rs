//! Documents to look at, to test with and to measure. The people in them are made up.

use chrono::{Days, NaiveDate};
use money::{Money, TaxRate};

use crate::{
    Clinic, Invoice, InvoiceLine, Language, Logo, Paper, Receiver, Standing, Statement,
    StatementKind, StatementLine, TaxTotal,
};

/// People with names that are easily spoilt, and where they live.
pub const PEOPLE: [(&str, &str); 8] = [
    (
        "Dr. Zoë Müller-Łukaszewicz",
        "Große Straße 12a\n10115 Berlin",
    ),
    (
        "محمد عبد الرحمن الأحمد",
        "شارع الملك فهد 2026-0001\nالرياض 12345",
    ),
    ("יעל בן־דוד (כהן)", "רחוב הרצל 17/4\nתל אביב 6688101"),
    (
        "Nguyễn Thị Ngọc Ánh",
        "123/4 Đường Lê Lợi, Phường Bến Thành\nThành phố Hồ Chí Minh",
    ),
    (
        "Αλέξανδρος Παπαδόπουλος",
        "Λεωφόρος Βασιλίσσης Σοφίας 45\n106 76 Αθήνα",
    ),
    ("王小明 / 歐陽鋒", "北京市朝阳区建国路88号\n邮编 100022"),
    ("پژمان می‌رزایی", "خیابان ولیعصر، پلاک ۱۲\n+98 21 1234 5678"),
    (
        "Ştefan Ağaoğlu, Юлия Ґалаґан",
        "улица Ленина, д. 5\n01001 Київ",
    ),
];

fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default()
}

fn money(currency: &str, minor_units: i64) -> Money {
    let currency = currency.parse().unwrap_or(money::Currency::EUR);
    Money::new(currency, minor_units).unwrap_or(Money::zero(currency))
}

/// A clinic whose documents are in this language.
#[must_use]
pub fn clinic(language: Language) -> Clinic {
    Clinic {
        name: "Praxis am Hafen".to_owned(),
        address: "Hafenstraße 7\n20459 Hamburg".to_owned(),
        contact: "+49 40 5550 1234\npraxis@hafen.clinic.example".to_owned(),
        registration: "USt-IdNr. DE 123 456 789\nHRB 12345, Hamburg".to_owned(),
        payment: "Praxis am Hafen · Hanse Bank\nIBAN DE02 1203 0000 0000 2020 51".to_owned(),
        remark: String::new(),
        logo: None,
        language,
        paper: Paper::A4,
    }
}

/// The same with a logo.
#[must_use]
pub fn clinic_with_logo(language: Language) -> Clinic {
    Clinic {
        logo: Logo::read(include_bytes!("letterhead/small.jpg")).ok(),
        ..clinic(language)
    }
}

/// An invoice to one of the [`PEOPLE`] with so many lines, two rates of tax and a payment.
#[must_use]
pub fn invoice(person: usize, lines: usize) -> Invoice {
    const SERVICES: [(&str, &str, i64, u32); 5] = [
        ("CONSULT-30", "Consultation, 30 minutes", 8_500, 0),
        (
            "ECG-12",
            "Electrocardiogram with twelve leads, and its report",
            12_345,
            0,
        ),
        ("LAB-CBC", "Blood count, complete", 1_995, 190_000),
        (
            "VACC-FLU",
            "Vaccination against influenza – including the vaccine and advice on what to \
          watch for in the days that follow, as recommended for patients above 60",
            4_250,
            190_000,
        ),
        (
            "CERT",
            "Certificate for the employer · 病假证明 · شهادة مرضية رقم 2026-0001",
            1_250,
            70_000,
        ),
    ];
    let zero = money("EUR", 0);
    let mut made = Vec::new();
    let mut taxes: Vec<TaxTotal> = Vec::new();
    for index in 0..lines {
        let (code, description, price, rate) = SERVICES[index % SERVICES.len()];
        let quantity = if index % 3 == 2 { 2 } else { 1 };
        let discount = if index % 7 == 3 { 500 } else { 0 };
        let net = money("EUR", price * i64::from(quantity) - discount);
        let tax_rate = TaxRate::ppm(rate).unwrap_or(TaxRate::ZERO);
        made.push(InvoiceLine {
            service_date: day(2026, 11, 2) + Days::new(index as u64 / 4),
            code: code.to_owned(),
            description: description.to_owned(),
            quantity,
            unit_price: money("EUR", price),
            discount: money("EUR", discount),
            net,
            tax_rate,
        });
        let tax = net.tax(tax_rate);
        match taxes.iter_mut().find(|total| total.rate == tax_rate) {
            Some(total) => {
                total.net = total.net.plus(net).unwrap_or(zero);
                total.tax = total.tax.plus(tax).unwrap_or(zero);
            }
            None => taxes.push(TaxTotal {
                rate: tax_rate,
                net,
                tax,
            }),
        }
    }
    taxes.sort_by_key(|tax| tax.rate);
    let sum = |amounts: Vec<Money>| {
        let sum = amounts.into_iter().try_fold(zero, Money::plus);
        sum.unwrap_or(zero)
    };
    let net = sum(made.iter().map(|line| line.net).collect());
    let total = sum(taxes.iter().flat_map(|tax| [tax.net, tax.tax]).collect());
    let paid = money("EUR", 5_000.min(total.minor_units()));
    let (name, address) = PEOPLE[person % PEOPLE.len()];
    Invoice {
        billed_to: Receiver {
            name: name.to_owned(),
            address: address.to_owned(),
            email: "patient@mail.example".to_owned(),
        },
        standing: Standing::Issued {
            number: "2026-000017".to_owned(),
            on: day(2026, 11, 30),
            due: day(2026, 12, 30),
        },
        lines: made,
        taxes,
        net,
        total,
        credited: zero,
        paid,
        written_off: zero,
        due: total.minus(paid).unwrap_or(zero),
    }
}

/// A statement of one of the [`PEOPLE`] with so many lines.
#[must_use]
pub fn statement(person: usize, lines: usize) -> Statement {
    const KINDS: [(StatementKind, &str, i64); 7] = [
        (StatementKind::Invoice, "2026-000017", 12_345),
        (StatementKind::Payment, "TRANSFER 99/7 محمد", -10_000),
        (StatementKind::Invoice, "2026-000018", 9_995),
        (StatementKind::CreditNote, "CN-2026-000003", -995),
        (StatementKind::PaymentReversed, "", 10_000),
        (StatementKind::WriteOff, "", -345),
        (StatementKind::Refund, "R-5", 2_500),
    ];
    let opening = money("EUR", -2_500);
    let mut balance = opening;
    let made = (0..lines)
        .map(|index| {
            let (kind, reference, amount) = KINDS[index % KINDS.len()];
            let amount = money("EUR", amount);
            balance = balance.plus(amount).unwrap_or(balance);
            StatementLine {
                date: day(2026, 1, 1) + Days::new(index as u64 / 30),
                kind,
                reference: reference.to_owned(),
                amount,
                balance,
            }
        })
        .collect();
    let (name, address) = PEOPLE[person % PEOPLE.len()];
    Statement {
        receiver: Receiver {
            name: name.to_owned(),
            address: address.to_owned(),
            email: String::new(),
        },
        from: day(2026, 1, 1),
        to: day(2026, 11, 30),
        opening,
        lines: made,
        closing: balance,
    }
}
