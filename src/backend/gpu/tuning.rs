//! Choices between forms of a kernel that differ in speed alone: every one of them gives the same bits.

use super::shader::WORKGROUP_WORDS;
use super::{AdapterKind, AdapterSummary};
use serde::{Deserialize, Serialize};

/// What suits a device. Picked from the adapter's kind when it is opened; [`crate::workflows::tune`] measures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// Workgroups of 256 threads that keep the device busy: kernels that can split their work make about as many.
    pub busy: u64,
    /// Workgroup memory, in 32-bit words, for bands of a frame. 4096 leaves room for many workgroups side by side, more saves
    /// barriers.
    pub workgroup_words: usize,
}

impl Tuning {
    /// By the kind of adapter alone.
    pub(super) fn of(kind: AdapterKind) -> Tuning {
        Tuning {
            busy: match kind {
                // Four bytes and four loads on their way for each thread: 8 MiB, which a large device's memory wants.
                AdapterKind::Discrete | AdapterKind::Virtual | AdapterKind::Other => 2048,
                AdapterKind::Integrated => 256,
                AdapterKind::Software => 16,
            },
            workgroup_words: WORKGROUP_WORDS,
        }
    }

    /// Everything worth measuring on an adapter.
    pub fn candidates(adapter: &AdapterSummary) -> Vec<Tuning> {
        let most = most_words(adapter);
        let words = if most > WORKGROUP_WORDS {
            vec![WORKGROUP_WORDS, most]
        } else {
            vec![WORKGROUP_WORDS]
        };
        let busy = [16, 256, 1024, 4096];
        busy.into_iter()
            .flat_map(|busy| words.iter().map(move |&workgroup_words| Tuning { busy, workgroup_words }))
            .collect()
    }

    /// The same within what an adapter can.
    pub fn within(self, adapter: &AdapterSummary) -> Tuning {
        Tuning {
            busy: self.busy.clamp(1, 1 << 16),
            workgroup_words: self.workgroup_words.clamp(WORKGROUP_WORDS, most_words(adapter)),
        }
    }
}

/// Words of workgroup memory that kernels may take: 32 KiB where the device has them.
fn most_words(adapter: &AdapterSummary) -> usize {
    (adapter.workgroup_storage as usize / 4).clamp(WORKGROUP_WORDS, 2 * WORKGROUP_WORDS)
}
