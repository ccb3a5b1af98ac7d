//! Statements of account.

use std::fmt;

use chrono::NaiveDate;
use money::Money;

use crate::{
    Clinic, Document, Error, MAX_LINES, Receiver, letterhead,
    sheet::Sheet,
    table::{Cell, Column, Shape, Total, table},
    words::Words,
};

/// What a patient owed and paid in a period. More than 0 is owed, less is the patient's credit. The
/// dates are the clinic's, all amounts in one currency. Its `Debug` does not show whose it is.
#[derive(Clone)]
pub struct Statement {
    /// Who owes it.
    pub receiver: Receiver,
    /// The first day of the period.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// What was owed before `from`.
    pub opening: Money,
    /// What happened, in order.
    pub lines: Vec<StatementLine>,
    /// What was owed at the end of `to`.
    pub closing: Money,
}

/// One thing that changed what is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementLine {
    /// When.
    pub date: NaiveDate,
    /// What happened.
    pub kind: StatementKind,
    /// The number of the document, the reference of the payment, or empty.
    pub reference: String,
    /// By how much what is owed grew.
    pub amount: Money,
    /// What was owed afterwards.
    pub balance: Money,
}

/// What can change what is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementKind {
    /// An invoice was issued.
    Invoice,
    /// An invoice was taken back.
    InvoiceVoided,
    /// A part of an invoice was taken back.
    CreditNote,
    /// What was due was given up.
    WriteOff,
    /// The patient paid.
    Payment,
    /// A payment did not arrive after all.
    PaymentReversed,
    /// The patient was paid back.
    Refund,
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement")
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

impl Statement {
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
        let facts = vec![
            (words.date, words.day(self.to)),
            (words.period, words.period(self.from, self.to)),
        ];
        let mut sheet = letterhead::begin(clinic, &self.receiver, facts, words.statement)?;
        let total = Total::bold(words.closing(self.to), words.money(self.closing));
        self.table(&mut sheet, words, &[total]);
        let mut ending = vec![words.what_is_owed(self.closing)];
        if self.closing.minor_units() > 0 {
            ending.push(clinic.payment.clone());
        }
        letterhead::ending(&mut sheet, &ending);
        letterhead::end(sheet, clinic, words.statement, self.to)
    }

    /// Every balance is the one before and the amount.
    fn add_up(&self) -> Result<(), Error> {
        let mut balance = self.opening;
        for line in &self.lines {
            balance = balance
                .plus(line.amount)
                .map_err(|_| Error::DoesNotAddUp("lines"))?;
            if balance != line.balance {
                return Err(Error::DoesNotAddUp("balance"));
            }
        }
        if balance == self.closing {
            Ok(())
        } else {
            Err(Error::DoesNotAddUp("closing"))
        }
    }

    fn table(&self, sheet: &mut Sheet, words: &Words, totals: &[Total]) {
        let column = |title, shape| Column { title, shape };
        let columns = [
            column(words.date, Shape::Narrow),
            column(words.entry, Shape::Text),
            column(words.reference, Shape::Narrow),
            column(words.amount, Shape::Figures),
            column(words.balance, Shape::Figures),
        ];
        let opening = vec![
            words.day(self.from).into(),
            words.opening.to_owned().into(),
            Cell::default(),
            Cell::default(),
            words.amount(self.opening).into(),
        ];
        let lines = self.lines.iter().map(|line| {
            vec![
                words.day(line.date).into(),
                words.kind(line.kind).to_owned().into(),
                line.reference.clone().into(),
                words.amount(line.amount).into(),
                words.amount(line.balance).into(),
            ]
        });
        let rows: Vec<Vec<Cell>> = std::iter::once(opening).chain(lines).collect();
        let balances = self.lines.iter().map(|line| line.balance);
        let sums = std::iter::once(self.opening).chain(balances);
        let carried = words.carried(sums.map(|sum| words.amount(sum)).collect());
        table(sheet, &columns, &rows, &carried, totals, letterhead::ENDING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Language,
        reading::{lines, pages},
        samples,
    };

    fn text(statement: &Statement, language: Language) -> String {
        let document = statement.pdf(&samples::clinic(language)).unwrap();
        let pages = pages(&document.bytes);
        let lines: Vec<String> = pages.iter().flat_map(|page| lines(page)).collect();
        lines.join("\n")
    }

    #[test]
    fn a_statement_says_what_happened_and_what_is_owed() {
        let text = text(&samples::statement(0, 7), Language::English);
        for expected in [
            "Statement of account",
            "Period1\u{a0}Jan\u{a0}2026 to 30\u{a0}Nov\u{a0}2026",
            "1\u{a0}Jan\u{a0}2026Balance brought forward−25.00",
            "1\u{a0}Jan\u{a0}2026Invoice2026-000017123.4598.45",
            "Credit noteCN-2026-000003−9.95",
            "Payment reversed100.00",
            "Written off−3.45",
            "RefundR-525.00",
            "Balance on 30\u{a0}Nov\u{a0}2026EUR\u{a0}210.00",
            "Please pay EUR\u{a0}210.00.",
            "IBAN DE02",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }

    #[test]
    fn a_statement_of_one_day_names_it_once() {
        let mut statement = samples::statement(0, 7);
        statement.from = statement.to;
        for (language, expected) in [
            (Language::English, "Period30\u{a0}Nov\u{a0}2026\n"),
            (Language::German, "Zeitraum30.11.2026\n"),
        ] {
            let text = text(&statement, language);
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn who_has_credit_or_owes_nothing_is_not_asked_to_pay() {
        let credit = text(&samples::statement(0, 0), Language::German);
        assert!(
            credit.contains("Sie haben ein Guthaben von 25,00\u{a0}EUR."),
            "{credit}"
        );
        let mut statement = samples::statement(0, 0);
        statement.opening = Money::zero(statement.opening.currency());
        statement.closing = statement.opening;
        let nothing = text(&statement, Language::German);
        assert!(
            nothing.contains("Es ist nichts mehr zu zahlen."),
            "{nothing}"
        );
        for text in [credit, nothing] {
            assert!(!text.contains("IBAN"), "{text}");
        }
    }

    #[test]
    fn what_does_not_add_up_is_not_printed() {
        let clinic = samples::clinic(Language::English);
        let one = Money::new("EUR".parse().unwrap(), 1).unwrap();
        let mut statement = samples::statement(0, 3);
        statement.lines[1].balance = one;
        assert_eq!(
            statement.pdf(&clinic).err(),
            Some(Error::DoesNotAddUp("balance"))
        );
        let mut statement = samples::statement(0, 3);
        statement.closing = one;
        assert_eq!(
            statement.pdf(&clinic).err(),
            Some(Error::DoesNotAddUp("closing"))
        );
        let mut statement = samples::statement(0, 1);
        statement.lines = vec![statement.lines[0].clone(); MAX_LINES + 1];
        assert_eq!(statement.pdf(&clinic).err(), Some(Error::TooManyLines));
    }

    #[test]
    fn a_long_statement_is_complete() {
        for language in [Language::English, Language::Hebrew] {
            let document = samples::statement(2, 300)
                .pdf(&samples::clinic(language))
                .unwrap();
            let pages = pages(&document.bytes);
            let rows = pages
                .iter()
                .flatten()
                .filter(|piece| piece.text.contains("CN-2026-000003"));
            assert_eq!(rows.count(), 43);
            assert!(pages.len() < 15 && document.bytes.len() < 60_000 * pages.len());
        }
    }

    #[test]
    fn each_page_goes_on_with_the_balance_of_the_page_before() {
        let statement = samples::statement(0, 100);
        let document = statement.pdf(&samples::clinic(Language::German)).unwrap();
        let pages: Vec<Vec<String>> = pages(&document.bytes)
            .iter()
            .map(|page| lines(page))
            .collect();
        assert!(pages.len() > 2);
        for two in pages.windows(2) {
            let carried = two[0].iter().rposition(|line| line.starts_with("Übertrag"));
            let carried = carried.expect("a sum at the end");
            let brought = two[1].iter().position(|line| line.starts_with("Übertrag"));
            let brought = brought.expect("a sum at the top");
            assert_eq!(two[0][carried], two[1][brought]);
            let sum = two[0][carried].strip_prefix("Übertrag").unwrap();
            assert!(
                two[0][carried - 1].ends_with(sum),
                "{}",
                two[0][carried - 1]
            );
            assert!(two[1][brought - 1].contains("Saldo"), "the head is above");
            assert!(sum.contains(','), "{sum}");
        }
        let last = pages.last().unwrap();
        let once = last.iter().filter(|line| line.starts_with("Übertrag"));
        assert_eq!(once.count(), 1, "{last:#?}");
        let short = samples::statement(0, 5).pdf(&samples::clinic(Language::German));
        let short = crate::reading::pages(&short.unwrap().bytes);
        assert!(
            !lines(&short[0])
                .iter()
                .any(|line| line.starts_with("Übertrag"))
        );
    }
}
