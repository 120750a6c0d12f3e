//! Hours of work, exact to a hundredth.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Hours as a whole number of hundredths, because sums of them must be exact. In JSON they are a number with at most
/// two decimals: `2`, `0.25`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hours(i64);

/// Beyond this many hundredths an `f64` no longer tells neighbours apart safely; no estimate is near it.
const HUNDREDTHS_MAX: f64 = 1e13;

impl Hours {
    pub const fn from_hundredths(hundredths: i64) -> Self {
        Self(hundredths)
    }

    pub const fn hundredths(self) -> i64 {
        self.0
    }

    /// `None` when the number is not finite, absurdly large, or has more than two decimals.
    pub fn from_number(number: f64) -> Option<Self> {
        let hundredths = number * 100.0;
        let whole = hundredths.round();
        // Multiplying rounds, so the way back decides: it must give the very number that the decimal stands for.
        let exact = hundredths.is_finite()
            && hundredths.abs() <= HUNDREDTHS_MAX
            && (whole / 100.0 - number).abs() <= 0.0;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and far below 2^53, checked above"
        )]
        exact.then_some(Self(whole as i64))
    }

    /// The same hours as a JSON number would show them.
    #[expect(
        clippy::cast_precision_loss,
        reason = "hundredths stay below 2^53, see HUNDREDTHS_MAX"
    )]
    pub fn as_number(self) -> f64 {
        self.0 as f64 / 100.0
    }
}

impl Serialize for Hours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 100 == 0 {
            serializer.serialize_i64(self.0 / 100)
        } else {
            serializer.serialize_f64(self.as_number())
        }
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Self::from_number(number).ok_or_else(|| {
            de::Error::custom(format!(
                "{number} hours is not a number with at most two decimals"
            ))
        })
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Hours {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hours".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "number",
            "description": "Hours of work, with at most two decimals.",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_hundredth_survives_json(hundredths in -1_000_000_000_000_i64..1_000_000_000_000) {
            let hours = Hours::from_hundredths(hundredths);
            let json = serde_json::to_string(&hours).unwrap();
            prop_assert_eq!(serde_json::from_str::<Hours>(&json).unwrap(), hours);
        }
    }

    #[test]
    fn a_third_decimal_is_refused() {
        assert!(serde_json::from_str::<Hours>("0.125").is_err());
        assert!(serde_json::from_str::<Hours>("0.0000001").is_err());
        assert!(serde_json::from_str::<Hours>("4.000001").is_err());
        assert!(serde_json::from_str::<Hours>("1e300").is_err());
        assert_eq!(serde_json::from_str::<Hours>("2.35").unwrap(), Hours(235));
    }
}
