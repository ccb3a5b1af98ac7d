//! What can be done, as chance writes it: things are named by their place among those that there are.

use proptest::{option, prelude::*, sample::Index};

/// What one client does, in one currency.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) currency: &'static str,
    pub(super) steps: Vec<Step>,
}

/// Who does something: two people, as some things take both.
pub(super) type Somebody = bool;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Charge {
        patient: Index,
        code: Index,
        quantity: u32,
    },
    CancelCharge {
        charge: Index,
    },
    Draft {
        patient: Index,
    },
    /// Only the charges that are named stay on it.
    Redraft {
        invoice: Index,
        lines: usize,
    },
    DeleteDraft {
        invoice: Index,
    },
    Issue {
        invoice: Index,
    },
    Void {
        invoice: Index,
    },
    Credit {
        invoice: Index,
        amount: Option<i64>,
    },
    WriteOff {
        invoice: Index,
        by: Somebody,
    },
    RejectWriteOff {
        invoice: Index,
        by: Somebody,
    },
    Pay {
        patient: Index,
        amount: i64,
        method: usize,
        invoices: Vec<Index>,
    },
    Allocate {
        payment: Index,
        invoice: Index,
        amount: Option<i64>,
    },
    Reverse {
        payment: Index,
    },
    RequestRefund {
        payment: Index,
        amount: Option<i64>,
        by: Somebody,
    },
    ApproveRefund {
        refund: Index,
        by: Somebody,
    },
    RejectRefund {
        refund: Index,
        by: Somebody,
    },
    CompleteRefund {
        refund: Index,
        by: Somebody,
    },
}

pub(super) fn history(most: usize) -> impl Strategy<Value = History> {
    let currency = prop_oneof![Just("EUR"), Just("JPY"), Just("KWD")];
    let steps = prop::collection::vec(step(), 1..=most);
    (currency, steps).prop_map(|(currency, steps)| History { currency, steps })
}

/// Small amounts, and such as take two people.
fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![1..50_i64, 1..5000_i64, 5000..30_000_i64]
}

fn step() -> impl Strategy<Value = Step> {
    let by = any::<bool>;
    let any = any::<Index>;
    prop_oneof![
        8 => (any(), any(), 1..9_u32)
            .prop_map(|(patient, code, quantity)| Step::Charge { patient, code, quantity }),
        1 => any().prop_map(|charge| Step::CancelCharge { charge }),
        5 => any().prop_map(|patient| Step::Draft { patient }),
        1 => (any(), 1..4_usize).prop_map(|(invoice, lines)| Step::Redraft { invoice, lines }),
        1 => any().prop_map(|invoice| Step::DeleteDraft { invoice }),
        6 => any().prop_map(|invoice| Step::Issue { invoice }),
        2 => any().prop_map(|invoice| Step::Void { invoice }),
        3 => (any(), option::of(amount()))
            .prop_map(|(invoice, amount)| Step::Credit { invoice, amount }),
        2 => (any(), by()).prop_map(|(invoice, by)| Step::WriteOff { invoice, by }),
        1 => (any(), by()).prop_map(|(invoice, by)| Step::RejectWriteOff { invoice, by }),
        6 => (any(), amount(), 0..3_usize, prop::collection::vec(any(), 0..3))
            .prop_map(|(patient, amount, method, invoices)| {
                Step::Pay { patient, amount, method, invoices }
            }),
        4 => (any(), any(), option::of(amount()))
            .prop_map(|(payment, invoice, amount)| Step::Allocate { payment, invoice, amount }),
        2 => any().prop_map(|payment| Step::Reverse { payment }),
        3 => (any(), option::of(amount()), by())
            .prop_map(|(payment, amount, by)| Step::RequestRefund { payment, amount, by }),
        3 => (any(), by()).prop_map(|(refund, by)| Step::ApproveRefund { refund, by }),
        1 => (any(), by()).prop_map(|(refund, by)| Step::RejectRefund { refund, by }),
        3 => (any(), by()).prop_map(|(refund, by)| Step::CompleteRefund { refund, by }),
    ]
}
