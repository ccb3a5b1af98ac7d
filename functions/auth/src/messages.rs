//! E-mail to users.

mod due_messages;
pub mod send_account_messages;
pub mod tell_administrators;
