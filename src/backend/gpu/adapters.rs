//! Adapters of this machine.
/// all
pub struct Adapters;
/// one
pub struct AdapterSummary;
