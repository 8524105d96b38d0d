//! `emstream simulate`
