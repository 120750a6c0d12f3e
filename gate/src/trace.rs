//! The W3C trace context of a request: `traceparent`, version 00.

use std::fmt;

use axum::http::HeaderMap;

/// Which trace a request belongs to. Written as its header: `00-<32 hex>-<16 hex>-<2 hex>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

const HEADER: &str = "traceparent";
const SAMPLED: u8 = 1;

impl TraceContext {
    /// `None` when the text is no valid `traceparent`. A later version than 00 is read by its first four fields, as
    /// the specification asks.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.trim().split('-');
        let version = hex(fields.next()?, 2)?;
        let trace_id = hex(fields.next()?, 32)?;
        let span_id = u64::try_from(hex(fields.next()?, 16)?).ok()?;
        let flags = u8::try_from(hex(fields.next()?, 2)?).ok()?;
        let ends = fields.next().is_none();
        let valid = version != 0xff && (version != 0 || ends) && trace_id != 0 && span_id != 0;
        valid.then_some(Self {
            trace_id,
            span_id,
            flags,
        })
    }

    pub fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(HEADER)?.to_str().ok()?)
    }

    /// A span of ours: in the caller's trace, or in a new one made of `random`.
    pub(crate) fn entered(caller: Option<Self>, random: u128) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "half of the random bits is meant"
        )]
        let span_id = (random as u64 | 1) ^ caller.map_or(0, |caller| caller.span_id & !1);
        Self {
            trace_id: caller.map_or(random, |caller| caller.trace_id),
            span_id,
            flags: caller.map_or(SAMPLED, |caller| caller.flags),
        }
    }

    /// 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id, self.span_id, self.flags
        )
    }
}

/// Exactly so many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fits = text.len() == digits
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    fits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_request_stays_in_its_callers_trace_under_a_span_of_ours() {
        let caller = TraceContext::parse(GIVEN).unwrap();
        let ours = TraceContext::entered(Some(caller), 0x1234_5678);
        assert_eq!(ours.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(ours.span_id, caller.span_id);
    }

    #[test]
    fn a_mangled_traceparent_is_ignored() {
        let zero_trace = format!("00-{:032}-00f067aa0ba902b7-01", 0);
        let longer = format!("{GIVEN}-00");
        let upper = GIVEN.to_uppercase();
        for bad in [
            "",
            "00",
            &zero_trace,
            &longer,
            &upper,
            &GIVEN.replacen("00", "ff", 1),
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_trace_context_survives_being_written(random in 1u128.., caller in prop::bool::ANY) {
            let caller = caller.then(|| TraceContext::parse(GIVEN).unwrap());
            let context = TraceContext::entered(caller, random);
            prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = TraceContext::parse(&text);
        }
    }
}
