//! Tenants share a log's queue and its batches; none can take them from the others.

use foldline_events::Tenant;
use foldline_log::{Append, Error, Log, Verdict};
use futures_util::future::{join, join_all};

use crate::store::{appended, log, one};

/// More than may wait.
const FLOOD_APPENDS: usize = 5_000;

async fn of_tenant(log: &Log, tenant: &str, stream: String) -> Result<Verdict, Error> {
    let append = Append {
        tenant: Tenant::parse(tenant).unwrap(),
        ..one(&stream)
    };
    log.append(append).await
}

#[tokio::test]
async fn a_flood_of_one_tenant_neither_shuts_out_nor_holds_up_another() {
    let log = log().await;
    let flood = (0..FLOOD_APPENDS).map(|n| of_tenant(&log, "acme", format!("task-{n}")));
    let single = of_tenant(&log, "umbrella", "task-1".to_owned());

    let (flood, single) = join(join_all(flood), single).await;

    let single = appended(single.unwrap()).cursor.position;
    let mut last = 0;
    let mut turned_away = 0;
    for verdict in flood {
        match verdict {
            Ok(verdict) => last = last.max(appended(verdict).cursor.position),
            Err(Error::Overloaded { tenant }) => {
                assert_eq!(tenant.as_str(), "acme");
                turned_away += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(turned_away > 0, "all {FLOOD_APPENDS} were let in");
    assert!(
        single < last,
        "the single append came last, at position {single}"
    );
}
