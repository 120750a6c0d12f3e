//! Chains of an event that was changed twice, and chains that are broken.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::{DecodeError, payload::Written};

/// First its total was text in euros, then a number of cents, then it said the currency.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BillSent {
    total_cents: u32,
    currency: String,
}

impl Payload for BillSent {
    const EVENT_TYPE: &'static str = "tests.BillSent";
    const SCHEMA_VERSION: i16 = 3;
    const UPCASTERS: &'static [Upcaster] = &[
        Upcaster {
            from: 1,
            step: cents_of_text,
        },
        Upcaster {
            from: 2,
            step: euros_were_meant,
        },
    ];
}

fn cents_of_text(fields: &mut Fields) -> Result<(), Misfit> {
    let misfit = || Misfit {
        at: "/total".to_owned(),
        what: "is not an amount with two decimals",
    };
    let total = fields.remove("total").ok_or_else(misfit)?;
    let (euros, cents) =
        (total.as_str().and_then(|text| text.split_once('.'))).ok_or_else(misfit)?;
    if cents.len() != 2 {
        return Err(misfit());
    }
    let cents: u64 = format!("{euros}{cents}").parse().map_err(|_| misfit())?;
    fields.insert("totalCents".to_owned(), cents.into());
    Ok(())
}

fn euros_were_meant(fields: &mut Fields) -> Result<(), Misfit> {
    fields.insert("currency".to_owned(), "EUR".into());
    Ok(())
}

/// What was recorded in each version, before and now; all of them say the same.
const RECORDED: [(i16, &str); 3] = [
    (1, r#"{"total":"12.50"}"#),
    (2, r#"{"totalCents":1250}"#),
    (3, r#"{"totalCents":1250,"currency":"EUR"}"#),
];

fn read<P: Payload>(schema_version: i16, payload: &str) -> Result<P, DecodeError> {
    let from = Written {
        event_type: P::EVENT_TYPE,
        schema_version,
        payload,
    };
    from.read()
}

#[test]
fn a_payload_of_every_version_is_read_as_the_present_one() {
    for (version, payload) in RECORDED {
        let bill: BillSent = read(version, payload).unwrap();
        assert_eq!(
            (bill.total_cents, bill.currency.as_str()),
            (1250, "EUR"),
            "version {version}"
        );
    }
    assert_eq!(Chain::of::<BillSent>().broken(), []);
}

#[test]
fn what_is_written_is_of_the_present_version() {
    let bill: BillSent = read(1, RECORDED[0].1).unwrap();
    let written = bill.encoded(vec![]);
    assert_eq!(
        (written.schema_version, written.payload.as_str()),
        RECORDED[2]
    );
}

#[test]
fn a_field_that_an_old_version_did_not_know_does_not_disturb_it() {
    let bill: BillSent = read(1, r#"{"total":"12.50","ofTomorrow":[1]}"#).unwrap();
    assert_eq!(bill.total_cents, 1250);
}

#[test]
fn a_version_that_is_none_yet_is_unknown() {
    for version in [4, 5, i16::MAX, 0, -1, i16::MIN] {
        let read = read::<BillSent>(version, RECORDED[2].1);
        assert!(
            matches!(read, Err(DecodeError::Unknown { schema_version, .. }) if schema_version == version),
            "{version}: {read:?}"
        );
    }
}

#[test]
fn a_payload_that_does_not_fit_its_version_is_refused_with_the_place() {
    for payload in [r#"{}"#, r#"{"total":12.5}"#, r#"{"total":"12.5"}"#] {
        let refused = read::<BillSent>(1, payload).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "payload of tests.BillSent in schema version 1 cannot be brought to version 2"
        );
        let source = std::error::Error::source(&refused).unwrap();
        assert_eq!(
            source.to_string(),
            "/total is not an amount with two decimals"
        );
    }
    // Not even an object; and an amount that no present bill can have, which shows after all the steps.
    for (version, payload) in [
        (1, "[]"),
        (1, "{"),
        (2, "null"),
        (1, r#"{"total":"99999999999.00"}"#),
    ] {
        let refused = read::<BillSent>(version, payload).unwrap_err();
        assert!(
            matches!(refused, DecodeError::Payload { schema_version, .. } if schema_version == version),
            "{payload}: {refused:?}"
        );
    }
}

proptest! {
    #[test]
    fn whatever_a_past_version_holds_is_read_or_refused(version in 1..4_i16, total in any::<String>(), cents in any::<i64>()) {
        let payload = serde_json::json!({"total": total, "totalCents": cents, "currency": "EUR"}).to_string();
        let unknown = matches!(read::<BillSent>(version, &payload), Err(DecodeError::Unknown { .. }));
        prop_assert!(!unknown);
    }

    #[test]
    fn every_amount_survives_its_upcasters(cents in any::<u32>()) {
        let text = format!(r#"{{"total":"{}.{:02}"}}"#, cents / 100, cents % 100);
        prop_assert_eq!(read::<BillSent>(1, &text).unwrap().total_cents, cents);
    }
}

const fn from(from: i16) -> Upcaster {
    Upcaster {
        from,
        step: |_fields| Ok(()),
    }
}

fn chain(present: i16, upcasters: &'static [Upcaster]) -> Chain {
    Chain {
        event_type: "tests.Broken",
        present,
        upcasters,
    }
}

#[test]
fn a_chain_is_whole_when_one_step_leads_from_every_past_version() {
    for whole in [
        chain(1, &[]),
        chain(2, &const { [from(1)] }),
        chain(4, &const { [from(3), from(1), from(2)] }),
    ] {
        assert_eq!(whole.broken(), [], "{whole:?}");
    }
}

#[test]
fn a_broken_chain_is_named_before_anything_is_read() {
    for (broken, said) in [
        (
            chain(2, &[]),
            "tests.Broken: nothing leads from version 1 to 2, and this build writes version 2",
        ),
        (
            chain(4, &const { [from(1), from(3)] }),
            "tests.Broken: nothing leads from version 2 to 3, and this build writes version 4",
        ),
        (
            chain(2, &const { [from(1), from(1)] }),
            "tests.Broken: 2 upcasters read version 1, and only one can",
        ),
        (
            chain(1, &const { [from(1)] }),
            "tests.Broken: an upcaster reads version 1, which is none before 1",
        ),
        (
            chain(2, &const { [from(1), from(0)] }),
            "tests.Broken: an upcaster reads version 0, which is none before 2",
        ),
        (
            chain(0, &[]),
            "tests.Broken: its version is 0, and versions begin at 1",
        ),
    ] {
        let whole = chain(1, &[]);
        let refused = check_these([whole, broken].into_iter()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("this build cannot read every version of its events; {said}")
        );
    }
}

#[test]
fn every_broken_chain_is_named_at_once() {
    let refused = check_these([chain(3, &[]), chain(0, &[])].into_iter()).unwrap_err();
    assert_eq!(refused.0.len(), 3);
}

/// The start-up refuses such a build; were it asked all the same, it says that it cannot know.
#[test]
fn a_version_that_nothing_leads_from_is_unknown_and_no_panic() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Forgotten {}
    impl Payload for Forgotten {
        const EVENT_TYPE: &'static str = "tests.Forgotten";
        const SCHEMA_VERSION: i16 = 2;
    }
    let read = read::<Forgotten>(1, "{}");
    assert!(matches!(read, Err(DecodeError::Unknown { .. })));
}
