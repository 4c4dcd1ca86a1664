//! What a session runs on.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name {
            /// Not told, or not recognised.
            #[default]
            Unknown = 0,
            $(#[doc = $text] $variant),+
        }

        impl $name {
            /// The word of the APIs.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::Unknown => "Unknown",
                    $(Self::$variant => $text),+
                }
            }

            /// All values, in the order of their numbers on the wire.
            pub const ALL: &'static [Self] = &[Self::Unknown, $(Self::$variant),+];
        }
    };
}

words! {
    /// The browser.
    Browser { Chrome = "Chrome", Firefox = "Firefox", Safari = "Safari", Edge = "Edge", Opera = "Opera" }
}
words! {
    /// The operating system.
    Os { Windows = "Windows", MacOs = "macOS", Linux = "Linux", Android = "Android", Ios = "iOS" }
}
words! {
    /// The kind of machine.
    Kind { Desktop = "desktop", Mobile = "mobile", Tablet = "tablet", Service = "service" }
}

/// What a session runs on: three bytes, told by the User-Agent or by the connecting client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Device {
    /// The browser.
    pub browser: Browser,
    /// The operating system.
    pub os: Os,
    /// The kind of machine.
    pub kind: Kind,
}
