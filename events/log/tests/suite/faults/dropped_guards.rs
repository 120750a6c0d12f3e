//! Logs that do not look at what their guards exclude: the check of these faults finds them, without any fault.

use foldline_log::{Service, Verdict};

use super::{Load, Sent, server::execute, settle};
use crate::store::{database_with_large_segments, open, owner};

const APPENDERS: usize = 12;
/// Of so many, some are guarded against what others have just written.
const APPENDS: usize = 2_000;

/// What the guards of such a log don't see, and how it is made.
const BUGS: [(&str, &str); 2] = [
    (
        "anything: no event is found by its tags",
        "create function log.forget() returns trigger language plpgsql as 'begin return null; end';
         create trigger forget before insert on log.tags for each row execute function log.forget()",
    ),
    (
        "events with several tags",
        "create or replace function log.newest_tagged(
             of_tenant text, with_tags text[], of_type text, after_position bigint
         )
         returns bigint language sql stable as 'select null::bigint'",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_drops_guards_is_found_by_the_same_check() {
    for (unseen, bug) in BUGS {
        let database = database_with_large_segments().await;
        execute(&mut owner(&database).await, bug).await;
        let log = open(&database, Service::Command).await;
        let load = Load::start(&[log], APPENDERS);
        load.goes_on(APPENDS).await;
        let (complaints, _) = settle(&database, load).await;
        let is_found = |complaint: &String| complaint.contains("its guards exclude");
        assert!(
            complaints.iter().any(is_found),
            "unseen are {unseen}: {complaints:?}"
        );
    }
}

/// Otherwise the guards of the load would be nothing to check.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_as_it_is_refuses_some_of_the_load_by_guards_of_either_kind_and_is_not_complained_of()
{
    let database = database_with_large_segments().await;
    let log = open(&database, Service::Command).await;
    let load = Load::start(&[log], APPENDERS);
    load.goes_on(APPENDS).await;
    let (complaints, sent) = settle(&database, load).await;
    assert_eq!(complaints, [""; 0]);
    for tags in [1, 2] {
        let refused = |sent: &&Sent| {
            matches!(sent.answer, Ok(Verdict::Guarded { .. }))
                && sent.append.guards[0].tags.len() == tags
        };
        let refused = sent.iter().filter(refused).count();
        assert!(refused > 0, "no guard with {tags} tags refused anything");
    }
}
