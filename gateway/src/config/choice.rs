//! The choices of the configuration: enums whose variants are words.

use std::borrow::Cow;

use super::value::{Raw, Setting, quote};

/// An enum whose variants are words in the configuration.
macro_rules! choices {
    ($(
        $(#[$meta:meta])*
        $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal ),+ $(,)? }
    )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )+
        }

        impl $name {
            /// Every choice.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The word for it in the configuration.
            pub const fn word(self) -> &'static str {
                match self {
                    $( $name::$variant => $word, )+
                }
            }
        }

        impl Setting for $name {
            fn kind() -> Cow<'static, str> {
                [$($word),+].join(" | ").into()
            }

            fn read(raw: &Raw) -> Result<$name, String> {
                $name::ALL
                    .iter()
                    .find(|choice| raw.text() == Some(choice.word()))
                    .copied()
                    .ok_or_else(|| format!("allowed are {}", [$(concat!("\"", $word, "\"")),+].join(", ")))
            }

            fn show(&self) -> Option<String> {
                Some(quote(self.word()))
            }
        }
    )+};
}

choices! {
    /// What a new member of a group sees of what was said before.
    GroupHistory {
        /// Everything.
        All = "all",
        /// Nothing.
        SinceJoin = "since_join",
    }
    /// How log lines look.
    LogFormat {
        /// Human on a terminal, JSON elsewhere.
        Auto = "auto",
        /// One readable line each.
        Human = "human",
        /// One JSON object a line.
        Json = "json",
    }

    /// Which socket driver serves the shards.
    IoChoice {
        /// io_uring where the kernel allows it, else epoll.
        Auto = "auto",
        /// io_uring, or the start fails.
        Ring = "ring",
        /// epoll.
        Epoll = "epoll",
    }

    /// What runs a shard's loop.
    HostChoice {
        /// A plain thread.
        Thread = "thread",
        /// A glommio executor.
        Glommio = "glommio",
    }

    /// Where messages, read marks and last-seen times are kept.
    StoreKind {
        /// In files in the data directory.
        Embedded = "embedded",
        /// In memory: gone after a restart.
        Memory = "memory",
        /// In ScyllaDB or Cassandra.
        Scylla = "scylla",
    }

    /// Where uploaded files are kept.
    MediaStore {
        /// In a folder of this machine; Muster serves them.
        Folder = "folder",
        /// In a bucket of S3, MinIO or the like, which serves them.
        S3 = "s3",
    }

    /// How an uploaded file's address is made.
    KeyStyle {
        /// The time and the name.
        Plain = "plain",
        /// The time, a random part and the name.
        Random = "random",
    }

    /// A signature algorithm of a token.
    Algorithm {
        /// HMAC with SHA-256.
        Hs256 = "HS256",
        /// HMAC with SHA-384.
        Hs384 = "HS384",
        /// HMAC with SHA-512.
        Hs512 = "HS512",
        /// RSA PKCS#1 v1.5 with SHA-256.
        Rs256 = "RS256",
        /// RSA PSS with SHA-256.
        Ps256 = "PS256",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// EdDSA on Ed25519.
        EdDsa = "EdDSA",
    }
}
