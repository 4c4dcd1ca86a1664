//! What one row of the table of settings turns into.
//!
//! `settings!` takes the sections and keys of [`keys`](super::keys) and makes from them the typed structs, their
//! defaults, the description of every key, and the two functions that set and show a key by its name.
//! Nothing else in the program lists the keys.

use super::value::{Raw, Setting};
use std::borrow::Cow;

/// A section of the configuration.
#[derive(Debug)]
pub struct Section {
    /// Its name, as in `[http]`.
    pub name: &'static str,
    /// What it is about.
    pub meaning: &'static str,
    /// Its keys, in the order of the documentation.
    pub keys: &'static [Key],
}

/// A key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// The section it stands in.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its default in the syntax of the environment; empty where it has none.
    pub default: &'static str,
    /// The least and the most it may be.
    pub bounds: Option<(&'static str, &'static str)>,
    /// What it is for.
    pub meaning: &'static str,
    /// Whether it must never be printed.
    pub secret: bool,
    /// What type it has.
    pub kind: fn() -> Cow<'static, str>,
    /// Its default as TOML, or nothing where it has none.
    pub default_toml: fn() -> Option<String>,
}

impl Key {
    /// `section.name`
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("MUSTER_{}__{}", self.section.to_ascii_uppercase(), self.name.to_ascii_uppercase())
    }
}

/// Reads a value and holds it to the bounds of its key.
pub(super) fn read<T: Setting>(raw: &Raw, bounds: Option<(&'static str, &'static str)>) -> Result<T, String> {
    let value = T::read(raw)?;
    if let Some((least, most)) = bounds
        && !value.within(&constant::<T>(least), &constant::<T>(most))
    {
        return Err(format!("allowed is {least} to {most}"));
    }
    Ok(value)
}

/// Reads a default or a bound of the table.
pub(super) fn constant<T: Setting>(text: &'static str) -> T {
    if text.is_empty()
        && let Some(unset) = T::unset()
    {
        return unset;
    }
    T::read(&Raw::Bare(text.into())).expect("the table's own values parse: a test reads every one of them")
}

macro_rules! settings {
    ($(
        $(#[doc = $section_doc:literal])+
        [$section:ident] $Section:ident {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $Type:ty = $default:literal $(in $least:literal ..= $most:literal)?;
            )+
        }
    )+) => {
        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, Debug)]
            pub struct $Section {
                $(
                    $(#[doc = $doc])+
                    pub $key: $Type,
                )+
            }

            impl Default for $Section {
                fn default() -> $Section {
                    $Section { $( $key: $crate::config::table::constant::<$Type>($default), )+ }
                }
            }
        )+

        /// The whole configuration, typed and checked.
        #[derive(Clone, Debug, Default)]
        pub struct Config {
            $(
                $(#[doc = $section_doc])+
                pub $section: $Section,
            )+
            pub(super) origins: $crate::config::Origins,
        }

        /// Every section with its keys, in the order of the documentation.
        pub static SECTIONS: &[$crate::config::Section] = &[$(
            $crate::config::Section {
                name: stringify!($section),
                meaning: concat!($($section_doc, "\n"),+),
                keys: &[$(
                    $crate::config::Key {
                        section: stringify!($section),
                        name: stringify!($key),
                        default: $default,
                        bounds: $crate::config::table::settings!(@bounds $($least, $most)?),
                        meaning: concat!($($doc, "\n"),+),
                        secret: <$Type as $crate::config::value::Setting>::SECRET,
                        kind: <$Type as $crate::config::value::Setting>::kind,
                        default_toml: || {
                            let value = $crate::config::table::constant::<$Type>($default);
                            $crate::config::value::Setting::show(&value)
                        },
                    },
                )+],
            },
        )+];

        impl Config {
            /// Sets one key; the error says what is allowed.
            pub(super) fn set(
                &mut self,
                section: &str,
                key: &str,
                raw: &$crate::config::value::Raw,
            ) -> Result<(), String> {
                match (section, key) {
                    $($(
                        (stringify!($section), stringify!($key)) => {
                            let bounds = $crate::config::table::settings!(@bounds $($least, $most)?);
                            self.$section.$key = $crate::config::table::read::<$Type>(raw, bounds)?;
                            Ok(())
                        }
                    )+)+
                    _ => Err("there is no such key".into()),
                }
            }

            /// One key's value as TOML: nothing where it is not set, and secrets never in clear.
            pub fn show(&self, section: &str, key: &str) -> Option<String> {
                match (section, key) {
                    $($(
                        (stringify!($section), stringify!($key)) => {
                            $crate::config::value::Setting::show(&self.$section.$key)
                        }
                    )+)+
                    _ => None,
                }
            }
        }
    };
    (@bounds) => { None };
    (@bounds $least:literal, $most:literal) => { Some(($least, $most)) };
}

pub(super) use settings;
