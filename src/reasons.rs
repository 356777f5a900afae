//! Reasons: enums whose members have a label each, and are listed once.

/// An enum with all its members (`ALL`) and their labels (`as_str`).
macro_rules! reasons {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])+ $member:ident = $label:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])+ $member,)+
        }

        impl $name {
            /// All there are, in the order of their numbers.
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$member),+];

            /// A stable name for fields, logs and metrics.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$member => $label,)+
                }
            }
        }
    };
}

pub(crate) use reasons;
