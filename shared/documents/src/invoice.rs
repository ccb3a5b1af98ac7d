//! Invoices.

use std::fmt;

use chrono::NaiveDate;
use money::{Money, TaxRate};

use crate::{
    Clinic, Document, Error, MAX_LINES, Receiver,
    letterhead::{self, Facts, paragraphs},
    sheet::{Align, Sheet},
    table::{Cell, Column, Shape, Total, table},
    text::{Colour, Style},
    words::Words,
};

/// What an invoice says. Amounts are without tax unless they say otherwise; all are in one currency.
/// Its `Debug` does not show whose it is.
#[derive(Clone)]
pub struct Invoice {
    /// Who it is to be paid by.
    pub billed_to: Receiver,
    /// What it is: a draft, issued, void.
    pub standing: Standing,
    /// What is to be paid for, in the order in which it is shown.
    pub lines: Vec<InvoiceLine>,
    /// The lines' tax, by rate.
    pub taxes: Vec<TaxTotal>,
    /// The sum of the lines.
    pub net: Money,
    /// `net` with all taxes.
    pub total: Money,
    /// How much was taken back by credit notes, with tax.
    pub credited: Money,
    /// How much was paid.
    pub paid: Money,
    /// How much was given up.
    pub written_off: Money,
    /// What is left to pay; nothing for a void invoice.
    pub due: Money,
}

/// What an invoice is. The dates are the clinic's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// A draft, which has no number, as of a day.
    Draft {
        /// The day on which it is shown.
        on: NaiveDate,
    },
    /// To be paid.
    Issued {
        /// Its number.
        number: String,
        /// When it was issued.
        on: NaiveDate,
        /// By when it is to be paid.
        due: NaiveDate,
    },
    /// Taken back. It keeps its number.
    Void {
        /// Its number.
        number: String,
        /// When it was issued.
        on: NaiveDate,
        /// When it was taken back.
        voided: NaiveDate,
    },
}

/// One thing to be paid for.
#[derive(Clone)]
pub struct InvoiceLine {
    /// When it was done.
    pub service_date: NaiveDate,
    /// Its code in the clinic's list of prices.
    pub code: String,
    /// What it is.
    pub description: String,
    /// How often.
    pub quantity: u32,
    /// For one.
    pub unit_price: Money,
    /// What is taken off `unit_price` times `quantity`.
    pub discount: Money,
    /// What remains, without tax.
    pub net: Money,
    /// The rate of tax on `net`.
    pub tax_rate: TaxRate,
}

/// The tax of all lines of one rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaxTotal {
    /// The rate.
    pub rate: TaxRate,
    /// What it is on.
    pub net: Money,
    /// How much it is.
    pub tax: Money,
}

impl fmt::Debug for Invoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invoice")
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for InvoiceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvoiceLine").finish_non_exhaustive()
    }
}

impl Invoice {
    /// Makes a PDF of it, with the clinic's letterhead and in its language.
    ///
    /// # Errors
    /// If the amounts do not add up, or there are more than [`MAX_LINES`] lines. Everything else is a
    /// bug.
    pub fn pdf(&self, clinic: &Clinic) -> Result<Document, Error> {
        if self.lines.len() > MAX_LINES {
            return Err(Error::TooManyLines);
        }
        self.add_up()?;
        let words = clinic.language.words();
        let title = match &self.standing {
            Standing::Draft { .. } => words.draft.to_owned(),
            Standing::Issued { number, .. } | Standing::Void { number, .. } => {
                format!("{} {number}", words.invoice)
            }
        };
        let mut sheet = letterhead::begin(clinic, &self.billed_to, self.facts(words), &title)?;
        self.note(&mut sheet, words);
        self.table(&mut sheet, words, &self.totals(words));
        letterhead::ending(&mut sheet, &self.ending(clinic, words));
        letterhead::end(sheet, clinic, &title, self.standing.date())
    }

    /// An invoice whose sums are wrong is worse than none.
    fn add_up(&self) -> Result<(), Error> {
        let zero = Money::zero(self.total.currency());
        let sum = |amounts: Vec<Money>, of| {
            let mut amounts = amounts.into_iter();
            amounts
                .try_fold(zero, Money::plus)
                .map_err(|_| Error::DoesNotAddUp(of))
        };
        let lines = sum(self.lines.iter().map(|line| line.net).collect(), "lines")?;
        let under_tax = sum(self.taxes.iter().map(|tax| tax.net).collect(), "taxes")?;
        if lines != self.net || under_tax != self.net {
            return Err(Error::DoesNotAddUp("net"));
        }
        let taxes = sum(self.taxes.iter().map(|tax| tax.tax).collect(), "taxes")?;
        if sum(vec![self.net, taxes], "total")? != self.total {
            return Err(Error::DoesNotAddUp("total"));
        }
        let settled = vec![self.credited, self.paid, self.written_off, self.due];
        let settled = sum(settled, "due")?;
        let expected = match self.standing {
            Standing::Issued { .. } => settled == self.total,
            // Nothing is due, whatever it says.
            Standing::Draft { .. } | Standing::Void { .. } => self.due == zero,
        };
        if expected {
            Ok(())
        } else {
            Err(Error::DoesNotAddUp("due"))
        }
    }

    fn facts(&self, words: &Words) -> Facts {
        match &self.standing {
            Standing::Draft { on } => vec![(words.date, words.day(*on))],
            Standing::Issued { number, on, due } => vec![
                (words.number, number.clone()),
                (words.date, words.day(*on)),
                (words.due_date, words.day(*due)),
            ],
            Standing::Void { number, on, .. } => {
                vec![(words.number, number.clone()), (words.date, words.day(*on))]
            }
        }
    }

    /// What must be known before anything is read.
    fn note(&self, sheet: &mut Sheet, words: &Words) {
        let note = match &self.standing {
            Standing::Issued { .. } => return,
            Standing::Draft { .. } => words.draft_note.to_owned(),
            Standing::Void { voided, .. } => words.void_note(*voided),
        };
        let width = sheet.width();
        let style = Style::bold(10.0).in_colour(Colour::Red);
        paragraphs(sheet, &note, style, (0.0, width), Align::Start, 2);
        sheet.y += 6.0;
    }

    fn table(&self, sheet: &mut Sheet, words: &Words, totals: &[Total]) {
        let is_taxed = self.is_taxed();
        let column = |title, shape| Column { title, shape };
        let mut columns = vec![
            column(words.date, Shape::Narrow),
            column(words.description, Shape::Text),
            column(words.quantity, Shape::Figures),
            column(words.unit_price, Shape::Figures),
            column(words.tax, Shape::Figures),
            column(words.amount, Shape::Figures),
        ];
        let mut rows: Vec<Vec<Cell>> = self.lines.iter().map(|line| line.row(words)).collect();
        if !is_taxed {
            columns.remove(4);
            for row in &mut rows {
                row.remove(4);
            }
        }
        let carried = words.carried(self.sums(words));
        table(sheet, &columns, &rows, &carried, totals, letterhead::ENDING);
    }

    /// The sum of the lines up to each of them.
    fn sums(&self, words: &Words) -> Vec<String> {
        let mut sum = Money::zero(self.total.currency());
        let lines = self.lines.iter().map(|line| {
            // They have been added up before.
            sum = sum.plus(line.net).unwrap_or(sum);
            words.amount(sum)
        });
        lines.collect()
    }

    fn is_taxed(&self) -> bool {
        let is_taxed = |tax: &TaxTotal| tax.rate != TaxRate::ZERO || tax.tax.minor_units() != 0;
        self.taxes.iter().any(is_taxed)
    }

    fn totals(&self, words: &Words) -> Vec<Total> {
        let mut totals = Vec::new();
        if self.is_taxed() {
            totals.push(Total::plain(words.net.to_owned(), words.amount(self.net)));
            for tax in &self.taxes {
                let name = words.tax_on(tax.rate, tax.net);
                totals.push(Total::plain(name, words.amount(tax.tax)));
            }
        }
        totals.push(Total::bold(words.total.to_owned(), words.money(self.total)));
        if !matches!(self.standing, Standing::Issued { .. }) {
            return totals;
        }
        let settled = [
            (words.credited, self.credited),
            (words.paid, self.paid),
            (words.written_off, self.written_off),
        ];
        let before = totals.len();
        for (name, amount) in settled {
            if amount.minor_units() != 0 {
                let amount = words.amount(amount.negated());
                totals.push(Total::plain(name.to_owned(), amount));
            }
        }
        if totals.len() > before {
            totals.push(Total::bold(words.due.to_owned(), words.money(self.due)));
        }
        totals
    }

    /// What is said below the totals.
    fn ending(&self, clinic: &Clinic, words: &Words) -> Vec<String> {
        let mut ending = vec![clinic.remark.clone()];
        if let Standing::Issued { number, due, .. } = &self.standing {
            if self.due.minor_units() > 0 {
                ending.push(words.please_pay(self.due, *due, number));
                ending.push(clinic.payment.clone());
            } else {
                ending.push(words.nothing_due.to_owned());
            }
        }
        ending.retain(|text| !text.trim().is_empty());
        ending
    }
}

impl InvoiceLine {
    fn row(&self, words: &Words) -> Vec<Cell> {
        vec![
            words.day(self.service_date).into(),
            self.what(words),
            self.quantity.to_string().into(),
            words.amount(self.unit_price).into(),
            words.rate(self.tax_rate).into(),
            words.amount(self.net).into(),
        ]
    }

    fn what(&self, words: &Words) -> Cell {
        let mut details = vec![self.code.clone()];
        if self.discount.minor_units() != 0 {
            details.push(words.discount(self.discount.negated()));
        }
        details.retain(|detail| !detail.is_empty());
        Cell {
            text: self.description.clone(),
            detail: details.join(" · "),
        }
    }
}

impl Standing {
    /// The day that the document is of.
    const fn date(&self) -> NaiveDate {
        match self {
            Self::Draft { on } | Self::Issued { on, .. } | Self::Void { on, .. } => *on,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Language,
        reading::{Piece, lines, pages},
        samples::{self, PEOPLE},
    };

    fn text(document: &Document) -> String {
        let pages = pages(&document.bytes);
        let lines: Vec<String> = pages.iter().flat_map(|page| lines(page)).collect();
        lines.join("\n")
    }

    fn english(invoice: &Invoice) -> Document {
        invoice.pdf(&samples::clinic(Language::English)).unwrap()
    }

    #[test]
    fn an_invoice_says_who_is_to_pay_what_for_what() {
        let text = text(&english(&samples::invoice(0, 4)));
        for expected in [
            "Praxis am Hafen",
            "Dr. Zoë Müller-Łukaszewicz",
            "Große Straße 12a",
            "Number2026-000017",
            "Date30\u{a0}Nov\u{a0}2026",
            "Due30\u{a0}Dec\u{a0}2026",
            "Invoice 2026-000017",
            "DateDescriptionQtyUnit priceTaxAmount",
            "2\u{a0}Nov\u{a0}2026Consultation, 30 minutes185.000%85.00",
            "2\u{a0}Nov\u{a0}2026Blood count, complete219.9519%39.90",
            "VACC-FLU · Discount −5.00",
            "Net285.85",
            "Tax 0% on 208.450.00",
            "Tax 19% on 77.4014.71",
            "TotalEUR\u{a0}300.56",
            "Paid−50.00",
            "Amount dueEUR\u{a0}250.56",
            "Please pay EUR\u{a0}250.56 by 30\u{a0}Dec\u{a0}2026, and quote 2026-000017.",
            "IBAN DE02 1203 0000 0000 2020 51",
            "Page 1 of 1",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        for missing in ["Credited", "Written off", "�"] {
            assert!(!text.contains(missing), "{missing}\n{text}");
        }
    }

    /// Arabic and Hebrew from left to right are their letters in another order.
    fn letters(text: &str) -> Vec<char> {
        let mut letters: Vec<char> = text
            .chars()
            .filter(|letter| !letter.is_whitespace() && *letter != '\u{200c}')
            .collect();
        letters.sort_unstable();
        letters
    }

    #[test]
    fn names_and_addresses_are_whole_in_every_writing_and_language() {
        for (person, (name, address)) in PEOPLE.into_iter().enumerate() {
            for language in [Language::English, Language::Arabic] {
                let invoice = samples::invoice(person, 1);
                let document = invoice.pdf(&samples::clinic(language)).unwrap();
                assert!(document.missing.is_empty(), "{name}");
                let page = pages(&document.bytes).remove(0);
                let drawn: Vec<Vec<char>> = rows(&page).iter().map(|row| letters(row)).collect();
                for line in [name].into_iter().chain(address.lines()) {
                    assert!(drawn.contains(&letters(line)), "{language}: {line}");
                }
            }
        }
    }

    /// What stands in the window of the envelope, line by line.
    fn rows(page: &[Piece]) -> Vec<String> {
        let window = |piece: &&Piece| (150.0..260.0).contains(&piece.y);
        let left: Vec<Piece> = page
            .iter()
            .filter(window)
            .filter(|piece| piece.x < 300.0)
            .cloned()
            .collect();
        let right: Vec<Piece> = page
            .iter()
            .filter(window)
            .filter(|piece| piece.x >= 300.0)
            .cloned()
            .collect();
        [lines(&left), lines(&right)].concat()
    }

    #[test]
    fn numbers_are_whole_beside_arabic() {
        for language in Language::ALL {
            let document = samples::invoice(1, 5)
                .pdf(&samples::clinic(language))
                .unwrap();
            let text = text(&document);
            assert_eq!(text.matches("2026-0001").count(), 2, "{language}\n{text}");
            assert!(
                text.matches("2026-000017").count() >= 3,
                "{language}\n{text}"
            );
            for part in text.split_whitespace() {
                assert!(
                    !part.contains("0001-6202") && !part.contains("0001-2026"),
                    "{part}"
                );
            }
        }
    }

    #[test]
    fn every_page_has_the_head_and_the_totals_are_not_alone() {
        for count in (1..26).chain([70, 200]) {
            let document = english(&samples::invoice(0, count));
            let pages = pages(&document.bytes);
            assert_eq!(pages.len(), document.pages);
            for (index, page) in pages.iter().enumerate() {
                let lines = lines(page);
                let number = format!("Page {} of {}", index + 1, pages.len());
                let has = |text: &str| lines.iter().any(|line| line.contains(text));
                assert!(
                    has(&number) && has("DateDescriptionQty"),
                    "{count}: {lines:?}"
                );
                let total = lines.iter().position(|line| line.starts_with("TotalEUR"));
                assert_eq!(total.is_some(), index + 1 == pages.len(), "{count}");
                let row = lines.iter().position(|line| {
                    line.contains("\u{a0}2026")
                        && !line.contains("Please")
                        && line.ends_with(|last: char| last.is_ascii_digit())
                });
                assert!(
                    row.is_some() && (total.is_none() || row < total),
                    "{count}: {lines:?}"
                );
                assert!(has("Please pay") == total.is_some(), "{count}");
                for piece in page {
                    assert!(
                        (30.0..570.0).contains(&piece.x) && (30.0..830.0).contains(&piece.y),
                        "{piece:?}"
                    );
                }
            }
            let rows = pages
                .iter()
                .flatten()
                .filter(|piece| piece.text.starts_with("Consultation"));
            assert_eq!(rows.count(), count.div_ceil(5));
        }
    }

    #[test]
    fn a_draft_and_a_void_invoice_are_not_to_be_paid() {
        let day = |month, day| NaiveDate::from_ymd_opt(2026, month, day).unwrap();
        let mut invoice = samples::invoice(0, 2);
        invoice.due = Money::zero(invoice.total.currency());
        invoice.paid = invoice.due;
        invoice.standing = Standing::Draft { on: day(11, 30) };
        let draft = text(&english(&invoice));
        assert!(
            draft.contains("This is a draft. It is not an invoice."),
            "{draft}"
        );
        invoice.standing = Standing::Void {
            number: "2026-000017".to_owned(),
            on: day(11, 30),
            voided: day(12, 1),
        };
        let void = text(&english(&invoice));
        assert!(
            void.contains("This invoice was voided on 1\u{a0}Dec\u{a0}2026"),
            "{void}"
        );
        for text in [draft, void] {
            assert!(
                !text.contains("Please pay") && !text.contains("IBAN"),
                "{text}"
            );
        }
        invoice.due = invoice.total;
        let clinic = samples::clinic(Language::English);
        assert_eq!(invoice.pdf(&clinic).err(), Some(Error::DoesNotAddUp("due")));
    }

    #[test]
    fn what_is_settled_is_said() {
        let mut invoice = samples::invoice(0, 2);
        let third = Money::new(invoice.total.currency(), 5_000).unwrap();
        invoice.credited = third;
        invoice.written_off = third;
        invoice.paid = invoice.total.minus(third).unwrap().minus(third).unwrap();
        invoice.due = Money::zero(third.currency());
        let text = text(&english(&invoice));
        for expected in [
            "Credited−50.00",
            "Written off−50.00",
            "Amount dueEUR\u{a0}0.00",
            "Nothing is left to pay.",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(!text.contains("Please pay"));
    }

    #[test]
    fn without_tax_there_is_no_column_of_it() {
        let mut clinic = samples::clinic(Language::German);
        clinic.remark = "Umsatzsteuerfrei nach § 4 Nr. 14 UStG.".to_owned();
        let text = text(&samples::invoice(0, 2).pdf(&clinic).unwrap());
        assert!(!text.contains("USt.") && !text.contains("netto"), "{text}");
        assert!(
            text.contains("Umsatzsteuerfrei nach § 4 Nr. 14 UStG."),
            "{text}"
        );
    }

    type Change<'a> = &'a dyn Fn(&mut Invoice);

    #[test]
    fn what_does_not_add_up_is_not_printed() {
        let clinic = samples::clinic(Language::English);
        let one = Money::new("EUR".parse().unwrap(), 1).unwrap();
        let yen = Money::new("JPY".parse().unwrap(), 100).unwrap();
        let more = |money: &mut Money| *money = money.plus(one).unwrap();
        let changes: [(Change<'_>, &str); 7] = [
            (&|invoice| more(&mut invoice.net), "net"),
            (&|invoice| more(&mut invoice.lines[0].net), "net"),
            (&|invoice| more(&mut invoice.taxes[0].net), "net"),
            (&|invoice| more(&mut invoice.taxes[0].tax), "total"),
            (&|invoice| more(&mut invoice.total), "total"),
            (&|invoice| more(&mut invoice.paid), "due"),
            (&|invoice| invoice.lines[1].net = yen, "lines"),
        ];
        for (change, expected) in changes {
            let mut invoice = samples::invoice(0, 4);
            change(&mut invoice);
            assert_eq!(
                invoice.pdf(&clinic).err(),
                Some(Error::DoesNotAddUp(expected))
            );
        }
        let mut invoice = samples::invoice(0, 1);
        invoice.lines = vec![invoice.lines[0].clone(); MAX_LINES + 1];
        assert_eq!(invoice.pdf(&clinic).err(), Some(Error::TooManyLines));
    }

    #[test]
    fn the_same_invoice_has_the_same_bytes_and_a_page_is_small() {
        for person in 0..PEOPLE.len() {
            let clinic = samples::clinic(Language::ALL[person % 6]);
            let make = || samples::invoice(person, 6).pdf(&clinic).unwrap();
            let document = make();
            assert!(document.bytes.starts_with(b"%PDF-1.7"));
            assert_eq!(document.bytes, make().bytes);
            let most = 60_000 - crate::MAX_LOGO_BYTES_IN_PDF;
            assert!(
                document.bytes.len() <= most * document.pages,
                "{}",
                document.bytes.len()
            );
        }
    }

    #[test]
    fn whatever_was_typed_is_printed() {
        let mut invoice = samples::invoice(0, 3);
        let long = "Wortohneende".repeat(40);
        let texts = [
            "",
            " ",
            "\u{202e}evil\u{202c}",
            "{amount}",
            "😀😀",
            &long,
            "a\u{300}\u{301}\u{302}",
            "\u{0}\u{feff}\u{e000}",
            "()\\(<<>>",
        ];
        for text in texts {
            invoice.billed_to.name = text.to_owned();
            invoice.billed_to.address = format!("{text}\r\n{text}\n\n{text}");
            invoice.lines[0].description = text.to_owned();
            invoice.lines[1].description = text.repeat(50);
            let mut clinic = samples::clinic(Language::Arabic);
            for of_clinic in [
                &mut clinic.name,
                &mut clinic.registration,
                &mut clinic.payment,
            ] {
                text.clone_into(of_clinic);
            }
            let document = invoice.pdf(&clinic).unwrap();
            assert!(document.pages <= 2, "{text}");
        }
    }

    /// Letters of every kind, and what is no letter, in a random order that is always the same.
    #[test]
    fn nothing_that_can_be_typed_stands_in_the_way() {
        const RANGES: [(u32, u32); 12] = [
            (0x0, 0x7f),
            (0x80, 0x24f),
            (0x300, 0x36f),
            (0x590, 0x6ff),
            (0x900, 0x97f),
            (0x1e00, 0x1fff),
            (0x2000, 0x206f),
            (0x3000, 0x9fff),
            (0xd7ff, 0xfaff),
            (0xfb1d, 0xffff),
            (0x1f300, 0x1faff),
            (0x0, 0x10_ffff),
        ];
        let mut random: u32 = 16;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) % below
        };
        for round in 0..30 {
            let mut text = || -> String {
                let (from, to) = RANGES[next(12) as usize];
                let (other, most) = RANGES[next(12) as usize];
                let length = next(60);
                let letter = |at: u32| {
                    if at.is_multiple_of(3) {
                        (other, most)
                    } else {
                        (from, to)
                    }
                };
                let codes = (0..length)
                    .map(letter)
                    .map(|(from, to)| from + next(to - from + 1));
                codes.filter_map(char::from_u32).collect()
            };
            let mut invoice = samples::invoice(round, 3);
            invoice.billed_to.name = text();
            invoice.billed_to.address = text();
            invoice.lines[0].description = text();
            invoice.lines[1].code = text();
            invoice.standing = Standing::Issued {
                number: text(),
                on: NaiveDate::MIN,
                due: NaiveDate::MAX,
            };
            let mut clinic = samples::clinic(Language::ALL[round % 6]);
            (clinic.name, clinic.address, clinic.registration) = (text(), text(), text());
            let document = invoice.pdf(&clinic);
            assert!(
                document.is_ok(),
                "{:?} {:?}",
                document.err(),
                invoice.billed_to.name
            );
        }
        let mut invoice = samples::invoice(0, 1);
        for text in [
            "\u{200d}",
            "\u{200c}\u{200c}",
            "\u{301}",
            "م\u{200d}",
            "\u{640}",
        ] {
            text.clone_into(&mut invoice.billed_to.name);
            assert_eq!(invoice.pdf(&samples::clinic(Language::Arabic)).err(), None);
        }
    }

    #[test]
    fn the_largest_amounts_are_not_broken() {
        let mut invoice = samples::invoice(0, 1);
        let currency = invoice.total.currency();
        let most = Money::new(currency, money::MAX_MINOR_UNITS).unwrap();
        let line = &mut invoice.lines[0];
        (line.unit_price, line.net) = (most, most);
        invoice.taxes[0].net = most;
        (invoice.net, invoice.total, invoice.due) = (most, most, most);
        invoice.paid = Money::zero(currency);
        for language in Language::ALL {
            let text = text(&invoice.pdf(&samples::clinic(language)).unwrap());
            let amount = language.words().amount(most);
            assert!(text.matches(&amount).count() >= 4, "{language}\n{text}");
        }
    }
}
