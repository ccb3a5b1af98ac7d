//! What the books should say: all of it in memory, and as simply as it can be said.
//!
//! A step is taken, or refused: then nothing has changed.

use std::collections::BTreeMap;

/// The codes of the prices, what each costs, and how it is taxed.
pub(super) const PRICES: [(&str, i64, u32); 3] =
    [("A", 1999, 190_000), ("B", 333, 70_000), ("C", 1, 500_000)];

/// Above this much in euros, and always in other currencies, it takes two people.
const FOUR_EYES_ABOVE: i64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

pub(super) type Taken<T = ()> = Result<T, Refused>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charged {
    Billable,
    Drafted(usize),
    Invoiced(usize),
    Cancelled,
}

#[derive(Debug)]
pub(super) struct Charge {
    pub(super) patient: usize,
    pub(super) state: Charged,
    net: i64,
    tax: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Draft,
    Deleted,
    Issued,
    Void,
    WrittenOff,
}

#[derive(Debug)]
pub(super) struct Invoice {
    pub(super) patient: usize,
    pub(super) state: State,
    pub(super) net: i64,
    pub(super) tax: i64,
    pub(super) allocated: i64,
    pub(super) credited: i64,
    pub(super) written_off: i64,
    /// How much is asked to be written off, and by whom.
    pub(super) request: Option<(i64, bool)>,
}

impl Invoice {
    pub(super) fn total(&self) -> i64 {
        self.net + self.tax
    }

    pub(super) fn due(&self) -> i64 {
        match self.state {
            State::Issued | State::WrittenOff => {
                self.total() - self.allocated - self.credited - self.written_off
            }
            State::Draft | State::Deleted | State::Void => 0,
        }
    }

    fn stands(&self) -> Taken {
        let stands = matches!(self.state, State::Issued | State::WrittenOff);
        stands.then_some(()).ok_or(Refused)
    }
}

#[derive(Debug)]
pub(super) struct Payment {
    pub(super) patient: usize,
    pub(super) method: usize,
    pub(super) amount: i64,
    pub(super) reversed: bool,
    pub(super) refunded: i64,
    /// What each invoice got of it, and at which turn it got some last.
    pub(super) uses: BTreeMap<usize, (i64, usize)>,
}

impl Payment {
    pub(super) fn allocated(&self) -> i64 {
        self.uses.values().map(|(amount, _)| amount).sum()
    }

    pub(super) fn credit(&self) -> i64 {
        if self.reversed {
            0
        } else {
            self.amount - self.allocated() - self.refunded
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refunding {
    Requested,
    Approved,
    Rejected,
    Completed,
}

#[derive(Debug)]
pub(super) struct Refund {
    pub(super) payment: usize,
    pub(super) amount: i64,
    pub(super) state: Refunding,
    by: bool,
    takes_two: bool,
}

/// What the clinic has earned, and taken in by each method.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) issued: i64,
    pub(super) voided: i64,
    pub(super) credited: i64,
    pub(super) tax: i64,
    /// Payments, reversals, and refunds.
    pub(super) taken: [[i64; 3]; 3],
}

#[derive(Debug)]
pub(super) struct Model {
    is_in_euros: bool,
    pub(super) charges: Vec<Charge>,
    pub(super) invoices: Vec<Invoice>,
    pub(super) payments: Vec<Payment>,
    pub(super) refunds: Vec<Refund>,
    pub(super) totals: Totals,
    turn: usize,
}

impl Model {
    pub(super) fn of(currency: &str) -> Self {
        Self {
            is_in_euros: currency == "EUR",
            charges: Vec::new(),
            invoices: Vec::new(),
            payments: Vec::new(),
            refunds: Vec::new(),
            totals: Totals::default(),
            turn: 0,
        }
    }

    fn takes_two(&self, amount: i64) -> bool {
        !self.is_in_euros || amount > FOUR_EYES_ABOVE
    }

    pub(super) fn charge(&mut self, patient: usize, code: usize, quantity: u32) {
        let (_, price, rate) = PRICES[code];
        let net = price * i64::from(quantity);
        let tax = (net * i64::from(rate) + 500_000) / 1_000_000;
        let state = Charged::Billable;
        self.charges.push(Charge {
            patient,
            state,
            net,
            tax,
        });
    }

    pub(super) fn cancel_charge(&mut self, charge: usize) -> Taken {
        match self.charges[charge].state {
            Charged::Billable => {}
            Charged::Drafted(invoice) => self.take_off(charge, invoice),
            Charged::Invoiced(_) | Charged::Cancelled => return Err(Refused),
        }
        self.charges[charge].state = Charged::Cancelled;
        Ok(())
    }

    fn take_off(&mut self, charge: usize, invoice: usize) {
        self.invoices[invoice].net -= self.charges[charge].net;
        self.invoices[invoice].tax -= self.charges[charge].tax;
        self.charges[charge].state = Charged::Billable;
    }

    fn put_on(&mut self, charge: usize, invoice: usize) {
        self.invoices[invoice].net += self.charges[charge].net;
        self.invoices[invoice].tax += self.charges[charge].tax;
        self.charges[charge].state = Charged::Drafted(invoice);
    }

    /// The charges that are on an invoice, or were when it was a draft.
    pub(super) fn drafted(&self, invoice: usize) -> Vec<usize> {
        let on = |charge: &usize| self.charges[*charge].state == Charged::Drafted(invoice);
        (0..self.charges.len()).filter(on).collect()
    }

    pub(super) fn draft(&mut self, patient: usize) -> Taken {
        let is_billable = |charge: &usize| {
            let charge = &self.charges[*charge];
            charge.patient == patient && charge.state == Charged::Billable
        };
        let charges: Vec<usize> = (0..self.charges.len()).filter(is_billable).collect();
        if charges.is_empty() {
            return Err(Refused);
        }
        let invoice = self.invoices.len();
        self.invoices.push(Invoice {
            patient,
            state: State::Draft,
            net: 0,
            tax: 0,
            allocated: 0,
            credited: 0,
            written_off: 0,
            request: None,
        });
        for charge in charges {
            self.put_on(charge, invoice);
        }
        Ok(())
    }

    fn must_be_draft(&self, invoice: usize) -> Taken {
        let is_draft = self.invoices[invoice].state == State::Draft;
        is_draft.then_some(()).ok_or(Refused)
    }

    pub(super) fn redraft(&mut self, invoice: usize, charges: &[usize]) -> Taken {
        self.must_be_draft(invoice)?;
        if charges.is_empty() {
            return Err(Refused);
        }
        for charge in self.drafted(invoice) {
            self.take_off(charge, invoice);
        }
        for charge in charges {
            self.put_on(*charge, invoice);
        }
        Ok(())
    }

    pub(super) fn delete_draft(&mut self, invoice: usize) -> Taken {
        self.must_be_draft(invoice)?;
        for charge in self.drafted(invoice) {
            self.take_off(charge, invoice);
        }
        self.invoices[invoice].state = State::Deleted;
        Ok(())
    }

    pub(super) fn issue(&mut self, invoice: usize) -> Taken {
        self.must_be_draft(invoice)?;
        let charges = self.drafted(invoice);
        if charges.is_empty() {
            return Err(Refused);
        }
        for charge in charges {
            self.charges[charge].state = Charged::Invoiced(invoice);
        }
        self.invoices[invoice].state = State::Issued;
        self.totals.issued += self.invoices[invoice].net;
        self.totals.tax += self.invoices[invoice].tax;
        for payment in 0..self.payments.len() {
            if self.payments[payment].patient == self.invoices[invoice].patient {
                let most = self.payments[payment].credit();
                self.use_for(payment, invoice, most.min(self.invoices[invoice].due()));
            }
        }
        Ok(())
    }

    fn use_for(&mut self, payment: usize, invoice: usize, amount: i64) {
        if amount == 0 {
            return;
        }
        self.turn += 1;
        let used = self.payments[payment].uses.entry(invoice).or_default();
        *used = (used.0 + amount, self.turn);
        self.invoices[invoice].allocated += amount;
        self.let_lapse(invoice);
    }

    fn release(&mut self, payment: usize, invoice: usize, amount: i64) {
        if let Some((used, _)) = self.payments[payment].uses.get_mut(&invoice) {
            *used -= amount;
        }
        self.payments[payment].uses.retain(|_, (used, _)| *used > 0);
        self.invoices[invoice].allocated -= amount;
    }

    /// Once nothing is due, what was asked for is not granted any more.
    fn let_lapse(&mut self, invoice: usize) {
        if self.invoices[invoice].due() == 0 {
            self.invoices[invoice].request = None;
        }
    }

    /// Takes back so much of what was used for an invoice, the newest first.
    fn release_newest(&mut self, invoice: usize, mut amount: i64) {
        let mut uses: Vec<_> = (0..self.payments.len())
            .filter_map(|payment| {
                let (used, turn) = self.payments[payment].uses.get(&invoice)?;
                Some((*turn, payment, *used))
            })
            .collect();
        uses.sort_unstable();
        for (_, payment, used) in uses.into_iter().rev() {
            let part = used.min(amount);
            self.release(payment, invoice, part);
            amount -= part;
        }
    }

    pub(super) fn void(&mut self, invoice: usize) -> Taken {
        let voided = &self.invoices[invoice];
        if voided.state != State::Issued || voided.credited > 0 {
            return Err(Refused);
        }
        self.totals.voided += voided.net;
        self.totals.tax -= voided.tax;
        self.release_newest(invoice, self.invoices[invoice].allocated);
        for charge in &mut self.charges {
            if charge.state == Charged::Invoiced(invoice) {
                charge.state = Charged::Billable;
            }
        }
        self.invoices[invoice].state = State::Void;
        self.let_lapse(invoice);
        Ok(())
    }

    /// How much can be credited.
    pub(super) fn creditable(&self, invoice: usize) -> i64 {
        let invoice = &self.invoices[invoice];
        invoice.total() - invoice.credited - invoice.written_off
    }

    pub(super) fn credit(&mut self, invoice: usize, amount: Option<i64>) -> Taken<i64> {
        self.invoices[invoice].stands()?;
        let most = self.creditable(invoice);
        let amount = amount.unwrap_or(most);
        if !(1..=most).contains(&amount) {
            return Err(Refused);
        }
        let paid = (amount - self.invoices[invoice].due()).max(0);
        self.release_newest(invoice, paid);
        self.invoices[invoice].credited += amount;
        self.let_lapse(invoice);
        Ok(amount)
    }

    /// How a credit note was divided into net and tax.
    pub(super) fn credited(&mut self, net: i64, tax: i64) {
        self.totals.credited += net;
        self.totals.tax -= tax;
    }

    pub(super) fn write_off(&mut self, invoice: usize, by: bool) -> Taken {
        self.invoices[invoice].stands()?;
        let subject = &self.invoices[invoice];
        let due = subject.due();
        if due == 0 {
            return Err(Refused);
        }
        if self.takes_two(due + subject.written_off + subject.credited) {
            match subject.request {
                Some((asked, requester)) if asked >= due => {
                    if requester == by {
                        return Err(Refused);
                    }
                }
                _ => {
                    self.invoices[invoice].request = Some((due, by));
                    return Ok(());
                }
            }
        }
        let subject = &mut self.invoices[invoice];
        subject.written_off += due;
        subject.state = State::WrittenOff;
        subject.request = None;
        Ok(())
    }

    pub(super) fn reject_write_off(&mut self, invoice: usize) -> Taken {
        self.invoices[invoice]
            .request
            .take()
            .map(|_| ())
            .ok_or(Refused)
    }

    pub(super) fn pay(
        &mut self,
        patient: usize,
        amount: i64,
        method: usize,
        invoices: &[usize],
    ) -> Taken {
        for (place, invoice) in invoices.iter().enumerate() {
            self.invoices[*invoice].stands()?;
            if self.invoices[*invoice].patient != patient || invoices[..place].contains(invoice) {
                return Err(Refused);
            }
        }
        let payment = self.payments.len();
        self.payments.push(Payment {
            patient,
            method,
            amount,
            reversed: false,
            refunded: 0,
            uses: BTreeMap::new(),
        });
        self.totals.taken[method][0] += amount;
        for invoice in invoices {
            let part = self.invoices[*invoice]
                .due()
                .min(self.payments[payment].credit());
            self.use_for(payment, *invoice, part);
        }
        Ok(())
    }

    fn must_be_there(&self, payment: usize) -> Taken {
        (!self.payments[payment].reversed)
            .then_some(())
            .ok_or(Refused)
    }

    pub(super) fn allocate(
        &mut self,
        payment: usize,
        invoice: usize,
        amount: Option<i64>,
    ) -> Taken {
        self.must_be_there(payment)?;
        self.invoices[invoice].stands()?;
        if self.invoices[invoice].patient != self.payments[payment].patient {
            return Err(Refused);
        }
        let most = self.invoices[invoice]
            .due()
            .min(self.payments[payment].credit());
        let amount = amount.unwrap_or(most);
        if amount == 0 || amount > most {
            return Err(Refused);
        }
        self.use_for(payment, invoice, amount);
        Ok(())
    }

    pub(super) fn reverse(&mut self, payment: usize) -> Taken {
        self.must_be_there(payment)?;
        if self.payments[payment].refunded > 0 {
            return Err(Refused);
        }
        for (invoice, (used, _)) in self.payments[payment].uses.clone() {
            self.release(payment, invoice, used);
        }
        let reversed = &mut self.payments[payment];
        reversed.reversed = true;
        self.totals.taken[reversed.method][1] += reversed.amount;
        Ok(())
    }

    pub(super) fn request_refund(
        &mut self,
        payment: usize,
        amount: Option<i64>,
        by: bool,
    ) -> Taken {
        self.must_be_there(payment)?;
        let credit = self.payments[payment].credit();
        let amount = amount.unwrap_or(credit);
        if !(1..=credit).contains(&amount) {
            return Err(Refused);
        }
        self.payments[payment].refunded += amount;
        let takes_two = self.takes_two(self.payments[payment].refunded);
        let state = Refunding::Requested;
        self.refunds.push(Refund {
            payment,
            amount,
            state,
            by,
            takes_two,
        });
        Ok(())
    }

    pub(super) fn approve_refund(&mut self, refund: usize, by: bool) -> Taken {
        let refund = &mut self.refunds[refund];
        if refund.state != Refunding::Requested || refund.takes_two && refund.by == by {
            return Err(Refused);
        }
        refund.state = Refunding::Approved;
        Ok(())
    }

    pub(super) fn reject_refund(&mut self, refund: usize) -> Taken {
        let refund = &mut self.refunds[refund];
        if matches!(refund.state, Refunding::Rejected | Refunding::Completed) {
            return Err(Refused);
        }
        refund.state = Refunding::Rejected;
        self.payments[refund.payment].refunded -= refund.amount;
        Ok(())
    }

    pub(super) fn complete_refund(&mut self, refund: usize) -> Taken {
        let refund = &mut self.refunds[refund];
        if refund.state != Refunding::Approved {
            return Err(Refused);
        }
        refund.state = Refunding::Completed;
        let method = self.payments[refund.payment].method;
        self.totals.taken[method][2] += refund.amount;
        Ok(())
    }

    /// What a patient owes.
    pub(super) fn owes(&self, patient: usize) -> i64 {
        let theirs = self
            .invoices
            .iter()
            .filter(|invoice| invoice.patient == patient);
        theirs.map(Invoice::due).sum()
    }

    /// What a patient has paid that is not used, and not paid out yet.
    pub(super) fn credit_of(&self, patient: usize) -> i64 {
        let theirs = self
            .payments
            .iter()
            .filter(|payment| payment.patient == patient);
        let credit: i64 = theirs.map(Payment::credit).sum();
        let open = self.refunds.iter().filter(|refund| {
            self.payments[refund.payment].patient == patient
                && matches!(refund.state, Refunding::Requested | Refunding::Approved)
        });
        credit + open.map(|refund| refund.amount).sum::<i64>()
    }
}
