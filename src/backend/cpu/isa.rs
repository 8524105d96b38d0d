//! Chooses the widest instruction set that the CPU has and that the kernels are compiled for.
//!
//! A kernel is one plain Rust body over slices and 16-lane arrays. [`per_isa!`](crate::backend::cpu::isa::per_isa) compiles it
//! once per instruction set and picks at run time. Bodies use no fused multiply-add (the baseline of x86-64 has none and would
//! call a library function for each) and a fixed order of additions, so results have the same bits on every instruction set.

use crate::error::{Error, Result};
use std::sync::OnceLock;

/// Environment variable that asks for a narrower instruction set than the CPU has: `baseline`, `v3` or `v4`.
pub const VARIABLE: &str = "EMSTREAM_ISA";

/// An instruction set that this CPU is known to have: values are made by detection only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Isa(Level);

/// The levels that kernels are compiled for, narrow to wide. Only kernels' dispatchers look at it.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What the compiler may assume of the target: SSE2 on x86-64, NEON on AArch64.
    Baseline,
    /// x86-64-v3: AVX2, 256-bit vectors.
    #[cfg(target_arch = "x86_64")]
    V3,
    /// x86-64-v4: AVX-512 F, BW, CD, DQ and VL, 512-bit vectors.
    #[cfg(target_arch = "x86_64")]
    V4,
}

impl Isa {
    /// What every CPU of this architecture has.
    pub const BASELINE: Isa = Isa(Level::Baseline);

    /// All that this CPU has, narrowest first.
    pub fn available() -> Vec<Isa> {
        #[allow(unused_mut)]
        let mut all = vec![Isa::BASELINE];
        #[cfg(target_arch = "x86_64")]
        {
            let v3 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("f16c")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("movbe")
                && is_x86_feature_detected!("popcnt");
            let v4 = v3
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512cd")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if v3 {
                all.push(Isa(Level::V3));
            }
            if v4 {
                all.push(Isa(Level::V4));
            }
        }
        all
    }

    /// The one to use: the widest, or what [`VARIABLE`] asks for if the CPU has it. Decided at the first call.
    pub fn active() -> Isa {
        static ACTIVE: OnceLock<Isa> = OnceLock::new();
        *ACTIVE.get_or_init(|| {
            let widest = Isa::available().pop().unwrap_or(Isa::BASELINE);
            let Ok(asked) = std::env::var(VARIABLE) else { return widest };
            Isa::named(&asked).unwrap_or_else(|e| {
                log::warn!("{e}; using {widest}");
                widest
            })
        })
    }

    /// The instruction set called `name`, in any case.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is none or the CPU does not have it.
    pub fn named(name: &str) -> Result<Isa> {
        let all = Isa::available();
        all.iter()
            .copied()
            .find(|i| name.eq_ignore_ascii_case(i.name()) || (*i == Isa::BASELINE && name == "baseline"))
            .ok_or_else(|| {
                let names: Vec<_> = all.iter().map(|i| i.name()).collect();
                Error::parameter(
                    VARIABLE,
                    format!("`{name}` is none of this CPU's instruction sets ({})", names.join(", ")),
                )
            })
    }

    /// Name for people: `baseline`, `v3`, `v4`; `neon` on AArch64.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Level::Baseline if cfg!(target_arch = "aarch64") => "neon",
            Level::Baseline => "baseline",
            #[cfg(target_arch = "x86_64")]
            Level::V3 => "v3",
            #[cfg(target_arch = "x86_64")]
            Level::V4 => "v4",
        }
    }

    #[doc(hidden)]
    #[inline]
    pub const fn level(self) -> Level {
        self.0
    }
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Defines a function that is compiled for every instruction set from one body and takes an [`Isa`] as its first argument.
///
/// Generic parameters come in brackets, once as declared and once as used:
/// `per_isa! { fn twice[T: Sample][T](x: &mut [T]) { … } }`. Functions that the body calls must be `#[inline(always)]`.
macro_rules! per_isa {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $([$($gen:tt)*][$($used:tt)*])?
     ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name $(<$($gen)*>)? (isa: $crate::backend::cpu::isa::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body $(<$($gen)*>)? ($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi1,bmi2,f16c,lzcnt,movbe,popcnt")]
            fn v3 $(<$($gen)*>)? ($($arg: $ty),*) $(-> $ret)? {
                body $(::<$($used)*>)? ($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,f16c,lzcnt,movbe,popcnt")]
            fn v4 $(<$($gen)*>)? ($($arg: $ty),*) $(-> $ret)? {
                body $(::<$($used)*>)? ($($arg),*)
            }
            match isa.level() {
                $crate::backend::cpu::isa::Level::Baseline => body $(::<$($used)*>)? ($($arg),*),
                // Safety: an `Isa` of this level exists only on a CPU where all these features were detected.
                #[cfg(target_arch = "x86_64")]
                $crate::backend::cpu::isa::Level::V3 => unsafe { v3 $(::<$($used)*>)? ($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                $crate::backend::cpu::isa::Level::V4 => unsafe { v4 $(::<$($used)*>)? ($($arg),*) },
            }
        }
    };
}
pub(crate) use per_isa;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_what_the_cpu_has() {
        for isa in Isa::available() {
            assert_eq!(Isa::named(&isa.name().to_uppercase()).unwrap(), isa);
        }
        assert_eq!(Isa::named("baseline").unwrap(), Isa::BASELINE);
        assert!(Isa::named("v9").is_err());
        assert!(Isa::available().contains(&Isa::active()));
    }

    per_isa! {
        fn sum_of[const N: usize][N](x: &[u32; N]) -> u32 {
            x.iter().sum()
        }
    }

    #[test]
    fn every_level_runs() {
        for isa in Isa::available() {
            assert_eq!(sum_of(isa, &[1, 2, 3, 4]), 10, "{isa}");
        }
    }
}
