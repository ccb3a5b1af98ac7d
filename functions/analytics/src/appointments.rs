//! What is counted of appointments: of each appointment what it is now, on the day that it is for,
//! and of each change that it was made, on the day on which it was made.

pub(crate) mod cell;
pub(crate) mod counted;
pub(crate) mod figures;
pub(crate) mod group;
pub(crate) mod notes;
