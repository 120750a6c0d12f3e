//! A dynamic consistency boundary: load by types and tags, decide, append only if nothing that matches came since.

use std::collections::HashMap;

use foldline_events::{Position, Recorded};
use foldline_log::{AnyLog, Append, Expected, Guard, PAGE_EVENTS_MAX, Selection, Verdict};
use futures_util::future::join_all;

use crate::store::{append, appended, both, event, tenant};

const SEATS: usize = 3;
const COURSES_OF_A_STUDENT_MAX: usize = 2;
/// How often somebody decides anew; each time, somebody else was faster.
const DECISIONS_MAX: usize = 100;

/// One item of a decision's query: it is what is loaded, and what is guarded.
#[derive(Debug, Clone)]
struct Item {
    tags: Vec<String>,
    types: Vec<String>,
}

impl Item {
    fn of(tags: &[&str]) -> Self {
        Self {
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            types: vec!["school.Enrolled".to_owned(), "school.Left".to_owned()],
        }
    }

    /// What matches, and the position that it was read at.
    async fn load(&self, log: &AnyLog) -> (Vec<Recorded>, Position) {
        let selection = Selection {
            tenant: Some(tenant()),
            types: self.types.clone(),
            tags: self.tags.clone(),
            ..Selection::default()
        };
        let (mut events, mut after) = (vec![], 0);
        loop {
            let page = log
                .read_selected(&selection, after, PAGE_EVENTS_MAX)
                .await
                .unwrap();
            events.extend(page.events);
            if page.through == page.head {
                return (events, page.head);
            }
            after = page.through;
        }
    }

    fn after(&self, after: Position) -> Guard {
        Guard {
            tags: self.tags.clone(),
            event_types: self.types.clone(),
            after,
        }
    }
}

/// How many are enrolled by these events and have not left.
fn present(events: &[Recorded]) -> usize {
    let enrolled = events
        .iter()
        .filter(|it| it.event_type == "school.Enrolled");
    let left = events.iter().filter(|it| it.event_type == "school.Left");
    enrolled.count() - left.count()
}

fn about(event_type: &'static str, student: usize, course: usize, guards: Vec<Guard>) -> Append {
    let (student, course) = (format!("student:{student}"), format!("course:{course}"));
    let tags = ["term:1", &student, &course];
    let mut append = append(
        &format!("{event_type}-{student}-{course}"),
        Expected::Any,
        vec![event(event_type, &tags)],
    );
    append.guards = guards;
    append
}

/// What a student's wish to attend a course asks: how many attend it this term, and where the student goes.
fn items(student: usize, course: usize) -> [Item; 2] {
    [
        Item::of(&[&format!("course:{course}"), "term:1"]),
        Item::of(&[&format!("student:{student}"), "term:1"]),
    ]
}

/// Decides and appends until that is done or refused by the rules.
async fn enrol(log: &AnyLog, student: usize, course: usize) -> bool {
    let [of_course, of_student] = items(student, course);
    for _ in 0..DECISIONS_MAX {
        let (in_course, course_at) = of_course.load(log).await;
        let (of_the_student, student_at) = of_student.load(log).await;
        if present(&in_course) >= SEATS || present(&of_the_student) >= COURSES_OF_A_STUDENT_MAX {
            return false;
        }
        let guards = vec![of_course.after(course_at), of_student.after(student_at)];
        let append = about("school.Enrolled", student, course, guards);
        match log.append(append).await.unwrap() {
            Verdict::Appended(_) => return true,
            Verdict::Guarded { .. } => {}
            other @ (Verdict::Known(_) | Verdict::InputDiffers | Verdict::Conflict { .. }) => {
                panic!("{other:?}")
            }
        }
    }
    panic!("nobody is faster {DECISIONS_MAX} times");
}

#[tokio::test]
async fn of_two_who_decide_on_the_same_tags_at_once_exactly_one_wins() {
    for log in both().await {
        let of_another = about("school.Enrolled", 9, 9, vec![]);
        appended(log.append(of_another).await.unwrap());
        let [of_course, _] = items(1, 1);
        // Both have read before either appends, and their events go to streams of their own.
        let (seen, at) = of_course.load(&log).await;
        assert_eq!((seen.len(), at), (0, 1));
        let (_, at_of_other) = of_course.load(&log).await;
        let rivals = [(1, at), (2, at_of_other)].map(|(student, at)| {
            log.append(about(
                "school.Enrolled",
                student,
                1,
                vec![of_course.after(at)],
            ))
        });
        let verdicts: Vec<Verdict> = join_all(rivals)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let won = |verdict: &&Verdict| matches!(verdict, Verdict::Appended(_));
        assert_eq!(verdicts.iter().filter(won).count(), 1, "{verdicts:?}");
        assert!(
            verdicts.contains(&Verdict::Guarded { by: 2 }),
            "{verdicts:?}"
        );
        // Who decides on another course is in nobody's way.
        let (_, at) = of_course.load(&log).await;
        let elsewhere = about("school.Enrolled", 3, 2, vec![]);
        appended(log.append(elsewhere).await.unwrap());
        let last = about("school.Enrolled", 3, 1, vec![of_course.after(at)]);
        appended(log.append(last).await.unwrap());
    }
}

#[tokio::test]
async fn no_course_gets_more_students_than_seats_however_they_race() {
    const STUDENTS: usize = 8;
    const COURSES: usize = 3;
    for log in both().await {
        let wishes = (0..STUDENTS).flat_map(|student| {
            let log = &log;
            (0..COURSES).map(move |course| enrol(log, student, course))
        });
        let won = join_all(wishes).await.into_iter().filter(|won| *won);
        let won = won.count();
        let mut of_tag: HashMap<String, usize> = HashMap::new();
        let events = log.read(0, 1_000).await.unwrap();
        for tag in events.iter().flat_map(|event| &event.tags) {
            *of_tag.entry(tag.clone()).or_default() += 1;
        }
        assert_eq!(events.len(), won);
        assert_eq!(won, SEATS * COURSES, "each course has room for some");
        for (tag, count) in of_tag {
            let max = match tag.split_once(':').unwrap().0 {
                "course" => SEATS,
                "student" => COURSES_OF_A_STUDENT_MAX,
                _ => usize::MAX,
            };
            assert!(count <= max, "{count} of {tag}");
        }
        // A seat that is given back is there for the next.
        let got_in = enrol(&log, STUDENTS, 0).await;
        let someone = events
            .iter()
            .find(|it| it.tags.contains(&"course:0".to_owned()));
        let someone: usize = someone.unwrap().tags[1][8..].parse().unwrap();
        let left = about("school.Left", someone, 0, vec![]);
        appended(log.append(left).await.unwrap());
        assert!(!got_in && enrol(&log, STUDENTS, 0).await);
    }
}
