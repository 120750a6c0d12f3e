//! Where an event's tags are looked up: in a B-tree of one row for each of an event's tags, as `log.tags` is, or in a GIN
//! index over an array in the event's row, which keeps what is new in a list (`fastupdate`) or not. Three tables alike
//! but for that, in one database and in turns.
//!
//! Each is given what suits it. The elements of the array begin with tenant and type, so that GIN, too, finds the events of
//! a tag and a type without looking at others; and its guards are kept from the index of positions, which the planner would
//! read from the guard's position to the end.

use std::time::{Duration, Instant};

use clap::Args;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    database::Database,
    report::{self, Figure},
};

/// How many events are appended in a transaction, and guards looked up in a statement: a batch as it is under load.
const BATCH: i64 = 100;
const PAGE_EVENTS: i64 = 100;
/// Each project's tag is on one event of a thousand, each label's on one of a hundred; an event has one of either.
const PROJECTS: i64 = 1_000;
const LABELS: i64 = 100;
const TYPES: [&str; 2] = ["bench.Created", "bench.Renamed"];
/// What a guard asks for mostly: a type that the tag hardly has.
const RARE_TYPE: &str = "bench.Archived";

#[derive(Args)]
pub struct TagsArgs {
    /// How many events each table holds before anything is measured
    #[arg(long, default_value_t = 1_000_000)]
    events: i64,
    /// How long each measurement takes
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    BTree,
    GinWithList,
    Gin,
}

const WAYS: [Way; 3] = [Way::BTree, Way::GinWithList, Way::Gin];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::BTree => "B-tree",
            Self::GinWithList => "GIN, fastupdate on",
            Self::Gin => "GIN, fastupdate off",
        }
    }

    fn schema(self) -> &'static str {
        match self {
            Self::BTree => "btree",
            Self::GinWithList => "gin_with_list",
            Self::Gin => "gin",
        }
    }

    fn tables(self) -> &'static str {
        match self {
            Self::BTree => {
                "create table events (
                     position bigint primary key, tenant text collate \"C\" not null, type text collate \"C\" not null,
                     payload json not null, tags text[] not null
                 );
                 create table tags (
                     tenant text collate \"C\" not null, tag text collate \"C\" not null, type text collate \"C\" not null,
                     position bigint not null, primary key (tenant, tag, type, position)
                 );"
            }
            Self::GinWithList | Self::Gin => {
                "create table events (
                     position bigint primary key, tenant text collate \"C\" not null, type text collate \"C\" not null,
                     payload json not null, keys text[] collate \"C\" not null
                 );"
            }
        }
    }

    fn index(self) -> &'static str {
        match self {
            Self::BTree => "",
            Self::GinWithList => "create index on events using gin (keys) with (fastupdate = on);",
            Self::Gin => "create index on events using gin (keys) with (fastupdate = off);",
        }
    }

    /// Appends the events from one position to another.
    fn append(self) -> &'static str {
        match self {
            Self::BTree => {
                "with appended as (
                     insert into events (position, tenant, type, payload, tags)
                     select position, tenant, type, payload, tags from bench.made($1, $2)
                     returning position, tenant, type, tags
                 )
                 insert into tags (tenant, tag, type, position)
                 select tenant, unnest(tags), type, position from appended"
            }
            Self::GinWithList | Self::Gin => {
                "insert into events (position, tenant, type, payload, keys)
                 select position, tenant, type, payload,
                     array[tenant || '/' || type || '/' || tags[1], tenant || '/' || type || '/' || tags[2]]
                 from bench.made($1, $2)"
            }
        }
    }

    /// Of how many guards (tags and positions, one type for all) an excluded event is there.
    fn guards(self) -> &'static str {
        match self {
            Self::BTree => {
                "select count(*)
                 from (select unnest($1::text[]) as tag, unnest($2::bigint[]) as after) as g
                 where (
                     select true
                     from tags t
                     where t.tenant = 'acme' and t.tag = g.tag and t.type = $3 and t.position > g.after
                     limit 1
                 )"
            }
            Self::GinWithList | Self::Gin => {
                "select count(*)
                 from (select unnest($1::text[]) as tag, unnest($2::bigint[]) as after) as g
                 where (
                     select true
                     from events e
                     where e.keys @> array['acme/' || $3 || '/' || g.tag] and e.position + 0 > g.after
                     limit 1
                 )"
            }
        }
    }

    /// A page of the events after a position that carry a tag, or two, and are of either type.
    fn page(self, tags: usize) -> &'static str {
        match (self, tags) {
            (Self::BTree, 1) => {
                "select e.position, e.payload::text
                 from (
                     select t.position
                     from tags t
                     where t.tenant = 'acme' and t.tag = ($1::text[])[1] and t.type = any ($2) and t.position > $3
                     order by t.position
                     limit $4
                 ) as found
                 join events e on e.position = found.position
                 order by e.position"
            }
            // As `log.tagged` and its caller do it: by the rarer tag, at most 1,000 of its events.
            (Self::BTree, _) => {
                "select e.position, e.payload::text
                 from (
                     select t.position
                     from tags t
                     where t.tenant = 'acme' and t.tag = ($1::text[])[1] and t.type = any ($2) and t.position > $3
                     order by t.position
                     limit 1000
                 ) as found
                 join events e on e.position = found.position
                 where e.tags @> $1
                 order by e.position
                 limit $4"
            }
            (Self::GinWithList | Self::Gin, 1) => {
                "select e.position, e.payload::text
                 from events e
                 where e.keys && array[
                         'acme/' || ($2::text[])[1] || '/' || ($1::text[])[1],
                         'acme/' || ($2::text[])[2] || '/' || ($1::text[])[1]
                     ]
                     and e.position > $3
                 order by e.position
                 limit $4"
            }
            (Self::GinWithList | Self::Gin, _) => {
                "select e.position, e.payload::text
                 from events e
                 where (
                         e.keys @> array[
                             'acme/' || ($2::text[])[1] || '/' || ($1::text[])[1],
                             'acme/' || ($2::text[])[1] || '/' || ($1::text[])[2]
                         ]
                         or e.keys @> array[
                             'acme/' || ($2::text[])[2] || '/' || ($1::text[])[1],
                             'acme/' || ($2::text[])[2] || '/' || ($1::text[])[2]
                         ]
                     )
                     and e.position > $3
                 order by e.position
                 limit $4"
            }
        }
    }
}

/// The events that all ways store, made from their positions.
const MADE: &str = "
create schema bench;
create function bench.made(first bigint, last bigint)
returns table (\"position\" bigint, tenant text, type text, payload json, tags text[])
language sql
stable
as $$
    select p, 'acme', case when hashint8(p) % 2 = 0 then 'bench.Created' else 'bench.Renamed' end,
        json_build_object('text', repeat('x', 189)),
        array[
            'project:' || abs(hashint8extended(p, 1) % 1000),
            'label:' || abs(hashint8extended(p, 2) % 100)
        ]
    from generate_series(first, last) as p
$$;";

/// One way's tables, and what was measured of them.
struct Measured {
    way: Way,
    connection: PgConnection,
    head: i64,
    index_mib: f64,
    appended: Vec<f64>,
    rare_guards: Vec<f64>,
    common_guards: Vec<f64>,
    page_of_one: Vec<f64>,
    page_of_two: Vec<f64>,
}

pub async fn run(args: TagsArgs) -> anyhow::Result<()> {
    let database = Database::create().await?;
    let mut owner = PgConnection::connect(&database.url()).await?;
    sqlx::raw_sql(MADE).execute(&mut owner).await?;
    owner.close().await?;
    let mut all = Vec::new();
    for way in WAYS {
        all.push(Measured::prepare(way, &database, args.events).await?);
    }
    for run in 1..=args.runs {
        for measured in &mut all {
            measured.measure(args.seconds).await?;
        }
        eprintln!("run {run} of {}", args.runs);
    }
    let figures = figures(&all);
    drop(all);
    database.drop().await?;
    report::publish("tags", &figures)
}

impl Measured {
    async fn prepare(way: Way, database: &Database, events: i64) -> anyhow::Result<Self> {
        let began = Instant::now();
        let mut connection = PgConnection::connect(&database.url()).await?;
        let schema = way.schema();
        let set_up = format!(
            "create schema {schema}; set search_path = {schema}; set enable_seqscan = off; set jit = off; {}",
            way.tables()
        );
        sqlx::raw_sql(AssertSqlSafe(set_up))
            .execute(&mut connection)
            .await?;
        sqlx::query(way.append())
            .bind(1_i64)
            .bind(events)
            .execute(&mut connection)
            .await?;
        for statement in [way.index(), "vacuum analyze", "checkpoint"] {
            sqlx::raw_sql(statement).execute(&mut connection).await?;
        }
        let bytes: i64 = sqlx::query_scalar(
            "select sum(pg_relation_size(c.oid))::bigint
             from pg_class c
             where c.relnamespace = current_schema::regnamespace
               and c.relname not in ('events', 'events_pkey')
               and c.relkind in ('r', 'i')",
        )
        .fetch_one(&mut connection)
        .await?;
        let seconds = began.elapsed().as_secs_f64();
        eprintln!("{}: {events} events made in {seconds:.0} s", way.name());
        Ok(Self {
            way,
            connection,
            head: events,
            index_mib: bytes as f64 / f64::from(1 << 20),
            appended: vec![],
            rare_guards: vec![],
            common_guards: vec![],
            page_of_one: vec![],
            page_of_two: vec![],
        })
    }

    async fn measure(&mut self, seconds: f64) -> anyhow::Result<()> {
        let began = Instant::now();
        let until = Duration::from_secs_f64(seconds);
        let before = self.head;
        while began.elapsed() < until {
            sqlx::query(self.way.append())
                .bind(self.head + 1)
                .bind(self.head + BATCH)
                .execute(&mut self.connection)
                .await?;
            self.head += BATCH;
        }
        let appended = (self.head - before) as f64 / began.elapsed().as_secs_f64();
        self.appended.push(appended);

        let head = self.head;
        let anywhere = self.guards(RARE_TYPE, seconds, |n| n * 7_919 % head);
        let anywhere = anywhere.await?;
        self.rare_guards.push(anywhere);
        let just_read = self.guards(TYPES[0], seconds, |n| head - n % BATCH);
        let just_read = just_read.await?;
        self.common_guards.push(just_read);
        let of_one = self.page(1, seconds).await?;
        self.page_of_one.push(of_one);
        let of_two = self.page(2, seconds).await?;
        self.page_of_two.push(of_two);
        Ok(())
    }

    /// How many guards are looked up a second.
    async fn guards(
        &mut self,
        event_type: &str,
        seconds: f64,
        after: impl Fn(i64) -> i64,
    ) -> anyhow::Result<f64> {
        let began = Instant::now();
        let mut n = 0;
        while began.elapsed().as_secs_f64() < seconds {
            let batch = n..n + BATCH;
            let tags: Vec<String> = batch
                .clone()
                .map(|n| format!("project:{}", n * 31 % PROJECTS))
                .collect();
            let positions: Vec<i64> = batch.map(&after).collect();
            sqlx::query(self.way.guards())
                .bind(tags)
                .bind(positions)
                .bind(event_type)
                .execute(&mut self.connection)
                .await?;
            n += BATCH;
        }
        Ok(n as f64 / began.elapsed().as_secs_f64())
    }

    /// How long a page takes, in ms.
    async fn page(&mut self, tags: usize, seconds: f64) -> anyhow::Result<f64> {
        let began = Instant::now();
        let mut pages = 0;
        while began.elapsed().as_secs_f64() < seconds {
            let all = [
                format!("project:{}", pages * 31 % PROJECTS),
                format!("label:{}", pages * 17 % LABELS),
            ];
            let after = pages * 7_919 % (self.head / 2);
            sqlx::query(self.way.page(tags))
                .bind(&all[..tags])
                .bind(&TYPES[..])
                .bind(after)
                .bind(PAGE_EVENTS)
                .fetch_all(&mut self.connection)
                .await?;
            pages += 1;
        }
        Ok(began.elapsed().as_secs_f64() * 1_000.0 / pages as f64)
    }
}

fn figures(all: &[Measured]) -> Vec<Figure> {
    type Of = fn(&Measured) -> Vec<f64>;
    let kinds: [(&str, &str, Of); 6] = [
        ("appended", "events/s", |it| it.appended.clone()),
        ("guards, rare type", "guards/s", |it| it.rare_guards.clone()),
        ("guards, common type", "guards/s", |it| {
            it.common_guards.clone()
        }),
        ("page of one tag", "ms", |it| it.page_of_one.clone()),
        ("page of two tags", "ms", |it| it.page_of_two.clone()),
        ("size", "MiB", |it| vec![it.index_mib]),
    ];
    let mut figures = Vec::new();
    for (kind, unit, of) in kinds {
        let mut of_btree = None;
        for measured in all {
            let name = format!("{kind}, {}", measured.way.name());
            let mut figure = Figure::new(&name, unit, of(measured));
            match of_btree {
                None => of_btree = Some(figure.median),
                Some(of_btree) => figure.against("B-tree", of_btree),
            }
            figures.push(figure);
        }
    }
    figures
}
