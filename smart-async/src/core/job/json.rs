//! How the fields of documents are written that serde would write otherwise: times, and values that may be `null`.

use serde::Deserialize;
use serde_json::Value;

/// Tells a `null` that was written from a field that is absent.
pub(in crate::core) fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The number that a count from 1 has where it is absent.
pub(super) fn first<T: From<u8>>() -> T {
    T::from(1)
}

/// Times as RFC 3339 in UTC with milliseconds, the form that every reader takes; read with any offset and precision.
pub(super) mod time {
    use std::borrow::Cow;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::core::clock;
    use crate::core::job::Timestamp;

    pub(in crate::core::job) fn serialize<S: Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&clock::rfc3339(*time))
    }

    pub(in crate::core::job) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        clock::parse_rfc3339(&text).map_err(D::Error::custom)
    }

    pub(in crate::core::job) mod option {
        use serde::{Deserialize, Deserializer, Serializer};

        use crate::core::job::Timestamp;

        pub(in crate::core::job) fn serialize<S: Serializer>(
            time: &Option<Timestamp>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(in crate::core::job) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            #[derive(Deserialize)]
            #[serde(transparent)]
            struct Time(#[serde(deserialize_with = "super::deserialize")] Timestamp);
            Ok(Option::<Time>::deserialize(deserializer)?.map(|Time(time)| time))
        }
    }
}
