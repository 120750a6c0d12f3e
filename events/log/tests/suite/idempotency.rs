//! A command id is good for one append.

use foldline_log::Verdict;
use futures_util::future::join_all;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::{appended, both, database, one, open, owner, tenant};

#[tokio::test]
async fn the_same_command_again_gets_its_first_answer_and_stores_nothing() {
    for log in both().await {
        let first = one("task-1");
        let receipt = appended(log.append(first.clone()).await.unwrap());
        appended(log.append(one("task-1")).await.unwrap());
        assert_eq!(
            log.append(first.clone()).await.unwrap(),
            Verdict::Known(receipt.clone())
        );
        let known = log
            .known(&tenant(), first.command_id, &first.input_hmac)
            .await
            .unwrap();
        assert_eq!(known, Some(Verdict::Known(receipt)));
        assert_eq!(log.head().await.unwrap().position, 2);
    }
}

#[tokio::test]
async fn the_same_command_id_with_another_input_is_refused() {
    for log in both().await {
        let first = one("task-1");
        appended(log.append(first.clone()).await.unwrap());
        let mut other = first.clone();
        other.input_hmac = b"other".to_vec();
        assert_eq!(
            log.append(other.clone()).await.unwrap(),
            Verdict::InputDiffers
        );
        let known = log
            .known(&tenant(), other.command_id, &other.input_hmac)
            .await
            .unwrap();
        assert_eq!(known, Some(Verdict::InputDiffers));
        assert_eq!(
            log.known(&tenant(), Uuid::now_v7(), b"input")
                .await
                .unwrap(),
            None
        );
        assert_eq!(log.head().await.unwrap().position, 1);
    }
}

#[tokio::test]
async fn one_command_sent_50_times_at_once_is_stored_once() {
    for log in both().await {
        let command = one("task-1");
        let verdicts = join_all((0..50).map(|_| log.append(command.clone()))).await;
        let stored = verdicts
            .iter()
            .filter(|verdict| matches!(verdict, Ok(Verdict::Appended(_))))
            .count();
        let known = verdicts
            .iter()
            .filter(|verdict| matches!(verdict, Ok(Verdict::Known(_))))
            .count();
        assert_eq!((stored, known), (1, 49));
        assert_eq!(log.head().await.unwrap().position, 1);
    }
}

async fn forget(owner: &mut PgConnection, after: i64, through: i64) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select log.forget_commands($1, $2)")
        .bind(after)
        .bind(through)
        .fetch_one(owner)
        .await
}

#[tokio::test]
async fn no_command_id_of_the_last_days_is_forgotten_whoever_asks() {
    let database = database().await;
    let log = open(&database, foldline_log::Service::Command).await;
    let (old, new) = (one("task-1"), one("task-2"));
    appended(log.append(old.clone()).await.unwrap());
    appended(log.append(new.clone()).await.unwrap());
    let mut owner = owner(&database).await;
    assert_eq!(forget(&mut owner, 0, 2).await.unwrap(), 0);
    for (position, age) in [(1_i64, "8 days"), (2, "6 days")] {
        sqlx::query("update log.events set recorded_at = now() - $2::interval where position = $1")
            .bind(position)
            .bind(age)
            .execute(&mut owner)
            .await
            .unwrap();
    }
    assert_eq!(forget(&mut owner, 0, 2).await.unwrap(), 1);
    assert!(matches!(log.append(new).await.unwrap(), Verdict::Known(_)));
    // The events stay, and so does the stream's version.
    assert_eq!(log.head().await.unwrap().position, 2);
    appended(log.append(old).await.unwrap());

    // Given again, it is of today, however often its old place is looked at.
    assert_eq!(forget(&mut owner, 0, 3).await.unwrap(), 0);
    for (after, through) in [(0, 10_001), (2, 1)] {
        let refused = forget(&mut owner, after, through).await;
        assert!(refused.is_err(), "{after} {through}");
    }
}
