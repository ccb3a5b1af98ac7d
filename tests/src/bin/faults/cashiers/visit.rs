//! What a patient's visit leads to, from the charge to a balance that is mostly zero.

use chrono::Utc;
use serde_json::{Value, json};
use system_tests::Visitor;
use uuid::Uuid;

use super::{
    Appointment, Cashier, Kind, add,
    office::eur,
    requests::{Answered, Told, Who, Wish},
};

/// The functions that appointments go through.
const BOOK: &str = "book-appointment";
const ARRIVE: &str = "record-arrival";
const FULFIL: &str = "fulfil-appointment";
const CANCEL: &str = "cancel-appointment";

/// An invoice as it was last told.
struct Invoice {
    id: Uuid,
    total: i64,
    due: i64,
}

impl Invoice {
    fn of(answered: &Answered) -> Result<Self, String> {
        Ok(Self {
            id: answered.id()?,
            total: answered.cents("total")?,
            due: answered.cents("due")?,
        })
    }

    fn path(&self, verb: &str) -> String {
        format!("/api/invoices/{}/{verb}", self.id)
    }
}

/// A payment as it was last told.
struct Payment {
    id: Uuid,
    amount: i64,
    credit: i64,
}

impl Payment {
    fn of(answered: &Answered) -> Result<Self, String> {
        Ok(Self {
            id: answered.id()?,
            amount: answered.cents("amount")?,
            credit: answered.cents("credit")?,
        })
    }

    fn path(&self, verb: &str) -> String {
        format!("/api/payments/{}/{verb}", self.id)
    }
}

impl Cashier {
    /// Charges a patient, issues an invoice, and does one of the things that may become of it.
    pub(super) async fn visit(&mut self, patient: Uuid) -> Result<(), String> {
        if self.random.u8(..100) < 35 {
            self.appointment(patient).await?;
        }
        for _ in 0..self.random.usize(1..=2) {
            self.charge(patient).await?;
        }
        if self.random.u8(..100) < 15 {
            let charge = self.charge(patient).await?;
            self.cancel_charge(patient, charge).await?;
        }
        let draft = self.draft(patient).await?;
        let invoice = self.issue(patient, draft).await?;
        match self.random.u8(..8) {
            _ if invoice.due == 0 => self.credit_in_part(patient, &invoice).await?,
            0 => self.pay_exactly(patient, &invoice).await?,
            1 => self.pay_and_allocate(patient, &invoice).await?,
            2 | 3 => self.pay_too_much(patient, &invoice).await?,
            4 => self.pay_in_part(patient, &invoice).await?,
            5 => self.pay_without_money(patient, &invoice).await?,
            6 => self.credit_in_part(patient, &invoice).await?,
            _ => self.void_while_it_is_paid(patient, &invoice).await?,
        }
        self.repeat().await
    }

    async fn charge(&mut self, patient: Uuid) -> Result<Uuid, String> {
        let code = &self.till.office.codes[self.random.usize(..2)];
        let body = json!({
            "code": code, "quantity": self.random.u8(1..=2), "serviceDate": Utc::now().date_naive(),
        });
        let path = format!("/api/patients/{patient}/charges");
        let answered = self
            .insist(Wish::of(Kind::Charge, path, Some(body)))
            .await?;
        let charge = answered.id()?;
        let amount = answered.cents("amount")?;
        self.told(&answered, patient, charge, amount);
        Ok(charge)
    }

    async fn cancel_charge(&mut self, patient: Uuid, charge: Uuid) -> Result<(), String> {
        let path = format!("/api/charges/{charge}/cancellation");
        let body = json!({ "reason": "A slip of the finger" });
        let answered = self
            .insist(Wish::of(Kind::CancelCharge, path, Some(body)))
            .await?;
        self.told(&answered, patient, charge, 0);
        Ok(())
    }

    /// Of all that is billable.
    async fn draft(&mut self, patient: Uuid) -> Result<Answered, String> {
        let path = format!("/api/patients/{patient}/invoices");
        let answered = self.insist(Wish::of(Kind::Draft, path, None)).await?;
        self.told(&answered, patient, answered.id()?, answered.cents("total")?);
        Ok(answered)
    }

    async fn issue(&mut self, patient: Uuid, draft: Answered) -> Result<Invoice, String> {
        let path = format!("/api/invoices/{}/issue", draft.id()?);
        let mut wish = Wish::of(Kind::Issue, path, None);
        let issued = match self.random.u8(..10) {
            0 | 1 => self.compete(wish).await?,
            2 | 3 => self.double(wish).await?,
            4 | 5 => {
                wish.if_match.clone_from(&draft.etag);
                self.insist(wish).await?
            }
            _ => self.insist(wish).await?,
        };
        let invoice = Invoice::of(&issued)?;
        if issued.text("state")? != "ISSUED" || invoice.total != draft.cents("total")? {
            return Err(format!(
                "issued as {}, drafted as {}",
                issued.body, draft.body
            ));
        }
        self.told_as(
            &issued,
            Told {
                number: Some(issued.text("number")?.to_owned()),
                ..told(&issued, patient, invoice.id, invoice.total)
            },
        );
        Ok(invoice)
    }

    async fn pay_exactly(&mut self, patient: Uuid, invoice: &Invoice) -> Result<(), String> {
        let reference = Uuid::new_v4().to_string();
        let body = json!({
            "amount": eur(invoice.due), "method": "TRANSFER", "reference": reference,
            "invoiceIds": [invoice.id],
        });
        let wish = Wish::of(Kind::Pay, payments(patient), Some(body));
        let paid = match self.random.u8(..4) {
            // The same transfer, by two people: one of them is told that it is known.
            0 => self.compete(wish.clone()).await?,
            1 => self.double(wish.clone()).await?,
            _ => self.insist(wish.clone()).await?,
        };
        self.paid(patient, &paid, invoice.due)?;
        // Its reference is known for ever, and its key belongs to it.
        self.be_refused(wish.of_colleague(), 409).await?;
        let another = Wish {
            body: Some(json!({ "amount": eur(1), "method": "CASH" })),
            key: paid.wish.key,
            who: paid.wish.who,
            ..wish
        };
        self.be_refused(another, 422).await
    }

    async fn pay_and_allocate(&mut self, patient: Uuid, invoice: &Invoice) -> Result<(), String> {
        let payment = self.pay(patient, invoice.due, None).await?;
        let half = invoice.due / 2;
        let mut left = invoice.due;
        for amount in [Some(half), None] {
            let mut allocation = json!({ "invoiceId": invoice.id });
            if let Some(amount) = amount {
                allocation["amount"] = eur(amount);
            }
            let body = json!({ "allocations": [allocation] });
            let wish = Wish::of(Kind::Allocate, payment.path("allocations"), Some(body));
            let answered = self.insist(wish).await?;
            left -= amount.unwrap_or(left);
            if answered.cents("credit")? != left {
                return Err(format!("{left} should be left of {}", answered.body));
            }
            self.told(
                &answered,
                patient,
                payment.id,
                amount.unwrap_or(invoice.due - half),
            );
        }
        Ok(())
    }

    /// And have the rest back.
    async fn pay_too_much(&mut self, patient: Uuid, invoice: &Invoice) -> Result<(), String> {
        let more = self.random.i64(1_000..30_000);
        let amount = invoice.due + more;
        let payment = self.pay(patient, amount, Some((invoice, more))).await?;
        let body = json!({ "amount": eur(payment.credit), "reason": "Paid too much" });
        let wish = Wish::of(Kind::AskForRefund, payment.path("refunds"), Some(body));
        let refund = if self.random.u8(..4) == 0 {
            // Both ask for all of it.
            self.compete(wish).await?
        } else {
            self.insist(wish).await?
        };
        let (id, asked_by) = (refund.id()?, refund.wish.who);
        self.told(&refund, patient, id, more);
        self.decide(patient, id, asked_by, more).await
    }

    async fn decide(
        &mut self,
        patient: Uuid,
        refund: Uuid,
        asked_by: Who,
        amount: i64,
    ) -> Result<(), String> {
        let other = match asked_by {
            Who::Cashier => Who::Colleague,
            Who::Colleague => Who::Cashier,
        };
        let path = |verb: &str| format!("/api/refunds/{refund}/{verb}");
        if self.random.u8(..5) == 0 {
            let body = json!({ "reason": "They keep it for the next visit" });
            let wish = Wish::of(Kind::RejectRefund, path("rejection"), Some(body)).by(other);
            let answered = self.insist(wish).await?;
            self.told(&answered, patient, refund, amount);
            return Ok(());
        }
        let approval = Wish::of(Kind::ApproveRefund, path("approval"), None);
        if amount > LIMIT && self.random.bool() {
            self.be_refused(approval.clone().by(asked_by), 409).await?;
        }
        let approval = Wish {
            key: Uuid::new_v4(),
            ..approval
        };
        let answered = self.insist(approval.by(other)).await?;
        self.told(&answered, patient, refund, amount);
        let body = json!({ "reference": Uuid::new_v4().to_string() });
        let wish = Wish::of(Kind::CompleteRefund, path("completion"), Some(body));
        let answered = match self.random.u8(..4) {
            0 => self.compete(wish).await?,
            1 => self.double(wish).await?,
            _ => self.insist(wish).await?,
        };
        self.told(&answered, patient, refund, amount);
        Ok(())
    }

    /// And never the rest.
    async fn pay_in_part(&mut self, patient: Uuid, invoice: &Invoice) -> Result<(), String> {
        let part = self.random.i64(1..=invoice.due);
        self.pay(patient, part, Some((invoice, 0))).await?;
        self.write_off(patient, invoice, invoice.due - part).await
    }

    /// The payment bounces.
    async fn pay_without_money(&mut self, patient: Uuid, invoice: &Invoice) -> Result<(), String> {
        let payment = self.pay(patient, invoice.due, Some((invoice, 0))).await?;
        let body = json!({ "reason": "Returned by the bank" });
        let wish = Wish::of(Kind::Reverse, payment.path("reversal"), Some(body));
        let answered = if self.random.bool() {
            self.compete(wish).await?
        } else {
            self.insist(wish).await?
        };
        self.told(&answered, patient, payment.id, payment.amount);
        if self.random.bool() {
            self.write_off(patient, invoice, invoice.due).await?;
        }
        Ok(())
    }

    /// Above the limit, two people do that.
    async fn write_off(
        &mut self,
        patient: Uuid,
        invoice: &Invoice,
        due: i64,
    ) -> Result<(), String> {
        if due == 0 {
            return Ok(());
        }
        let body = json!({ "reason": "They have moved away" });
        let wish = Wish::of(Kind::WriteOff, invoice.path("write-off"), Some(body));
        let other = wish.of_colleague();
        let mut answered = self.insist(wish).await?;
        if answered.text("state")? == "ISSUED" {
            let asked = Told {
                kind: Kind::AskToWriteOff,
                ..told(&answered, patient, invoice.id, due)
            };
            self.told_as(&answered, asked);
            answered = self.insist(other).await?;
        } else if due > LIMIT {
            return Err(format!("one person was enough for {}", answered.body));
        }
        if answered.text("state")? != "WRITTEN_OFF" {
            return Err(format!("not written off: {}", answered.body));
        }
        self.told(&answered, patient, invoice.id, due);
        Ok(())
    }

    async fn credit_in_part(&mut self, patient: Uuid, invoice: &Invoice) -> Result<(), String> {
        let amount = self.random.i64(1..=invoice.total);
        let body = json!({ "reason": "Shorter than agreed", "amount": eur(amount) });
        let wish = Wish::of(Kind::Credit, invoice.path("credit-notes"), Some(body));
        let answered = if self.random.u8(..3) == 0 {
            self.double(wish).await?
        } else {
            self.insist(wish).await?
        };
        let note = answered.id()?;
        if answered.cents("total")? != amount {
            return Err(format!("{amount} were not credited: {}", answered.body));
        }
        self.told_as(
            &answered,
            Told {
                resource: invoice.id,
                number: Some(answered.text("number")?.to_owned()),
                ..told(&answered, patient, note, amount)
            },
        );
        Ok(())
    }

    /// The invoice is taken back at the same time, which always works.
    async fn void_while_it_is_paid(
        &mut self,
        patient: Uuid,
        invoice: &Invoice,
    ) -> Result<(), String> {
        let body = json!({ "reason": "Issued to the wrong patient" });
        let void = Wish::of(Kind::Void, invoice.path("void"), Some(body));
        let body = json!({
            "amount": eur(invoice.due), "method": "CARD", "invoiceIds": [invoice.id],
        });
        let pay = Wish::of(Kind::Pay, payments(patient), Some(body)).by(Who::Colleague);
        let [voided, paid] = self.ask_at_once([void, pay]).await?;
        if !voided.is_done() {
            return Err(voided.refusal());
        }
        self.told(&voided, patient, invoice.id, invoice.total);
        match paid.status {
            201 => self.paid(patient, &paid, invoice.due).map(drop),
            409 => Ok(()),
            _ => Err(paid.refusal()),
        }
    }

    /// Pays, and if it is for an invoice, as much as is due of it: so much is left then.
    async fn pay(
        &mut self,
        patient: Uuid,
        amount: i64,
        what_for: Option<(&Invoice, i64)>,
    ) -> Result<Payment, String> {
        let methods = ["CASH", "CARD", "TRANSFER"];
        let mut body = json!({
            "amount": eur(amount), "method": methods[self.random.usize(..methods.len())],
        });
        if let Some((invoice, _)) = what_for {
            body["invoiceIds"] = json!([invoice.id]);
        }
        let wish = Wish::of(Kind::Pay, payments(patient), Some(body));
        let answered = if self.random.u8(..5) == 0 {
            self.double(wish).await?
        } else {
            self.insist(wish).await?
        };
        let payment = self.paid(patient, &answered, amount)?;
        let left = what_for.map_or(amount, |(_, left)| left);
        if payment.credit != left {
            return Err(format!("{left} should be left of {}", answered.body));
        }
        Ok(payment)
    }

    fn paid(&mut self, patient: Uuid, answered: &Answered, amount: i64) -> Result<Payment, String> {
        let payment = Payment::of(answered)?;
        if payment.amount != amount {
            return Err(format!("{amount} were paid, not {}", answered.body));
        }
        self.told(answered, patient, payment.id, amount);
        Ok(payment)
    }

    fn told(&mut self, answered: &Answered, patient: Uuid, document: Uuid, amount: i64) {
        self.told_as(answered, told(answered, patient, document, amount));
    }

    fn told_as(&mut self, answered: &Answered, told: Told) {
        self.note(answered, told);
    }

    /// An appointment that takes place and is charged for, or is cancelled and is not.
    async fn appointment(&mut self, patient: Uuid) -> Result<(), String> {
        let service = self.till.office.services[self.random.usize(..2)].clone();
        let start = self.till.slot();
        let body = json!({
            "patientId": patient, "serviceId": service.id, "start": start,
            "locationId": self.till.office.location,
        });
        let booked = self.step(BOOK, "/api/appointments", Some(&body)).await?;
        let id = booked["id"].as_str().unwrap_or_default();
        let id: Uuid = id.parse().map_err(|_| format!("no id in {booked}"))?;
        let path = |verb: &str| format!("/api/appointments/{id}/{verb}");
        let took_place = self.random.u8(..5) > 0;
        if took_place {
            self.step(ARRIVE, &path("arrive"), None).await?;
            self.step(FULFIL, &path("fulfil"), None).await?;
        } else {
            let body = json!({ "reason": "They are ill" });
            self.step(CANCEL, &path("cancel"), Some(&body)).await?;
        }
        let appointment = Appointment {
            id,
            patient,
            code: service.code,
            is_priced: service.is_priced,
            took_place,
        };
        add(&self.till.appointments, appointment);
        Ok(())
    }

    /// Changes an appointment.
    async fn step(
        &mut self,
        function: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, String> {
        self.acts += 1;
        let (name, key) = (self.name(), Uuid::new_v4().to_string());
        let call = |visitor: &Visitor| {
            let call = visitor.post(path).header("Idempotency-Key", &key);
            match body {
                Some(body) => call.json(body),
                None => call,
            }
        };
        let load = &self.till.load;
        let (_, answer) = load.insist(&mut self.random, &name, function, call).await;
        let answer = answer.ok_or_else(|| format!("{function} had no response"))?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status < 300 {
            Ok(body)
        } else {
            Err(format!(
                "{function} was rejected with {}: {body}",
                answer.status
            ))
        }
    }
}

/// Above this, two people have to agree, in cents.
const LIMIT: i64 = 10_000;

fn payments(patient: Uuid) -> String {
    format!("/api/patients/{patient}/payments")
}

/// What was done to a document with an id of its own.
fn told(answered: &Answered, patient: Uuid, document: Uuid, amount: i64) -> Told {
    Told {
        kind: answered.wish.kind,
        patient,
        document,
        resource: document,
        amount,
        number: None,
    }
}
