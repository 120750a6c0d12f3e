//! Part of the log from its end to its beginning: the pages of a selection, newest first.
//!
//! Nothing but positions leads here, so every page looks at a window of them, whatever is selected.

use foldline_events::{Position, Recorded, Tenant};

use super::{PAGE_EVENTS_MAX, Page, Selection, WINDOW_POSITIONS_MAX, Window, as_i64};
use crate::{
    Error, Log,
    page::{Room, fetch},
    row::{recorded, select_recorded},
};

impl Log {
    /// The page of a selection before a position, newest first: as many events as [`Log::read_selected`] gives.
    /// `Position::MAX` begins with the last one. Nothing else is selected from [`Page::through`] on: the next page goes on before
    /// it, and 0 says that there is none.
    ///
    /// # Errors
    /// [`Error::Gap`] when events are missing, which only a selection of all of them can notice.
    pub async fn read_selected_backward(
        &self,
        selection: &Selection,
        before: Position,
        limit: usize,
    ) -> Result<Page, Error> {
        let limit = limit.clamp(1, PAGE_EVENTS_MAX);
        let head = self.head_position().await?;
        let nothing = Page {
            events: vec![],
            through: 0,
            head,
        };
        if selection.selects_nothing() {
            return Ok(nothing);
        }
        let mut window = self.window(selection, 0, head).await?;
        window.through = window.through.min(before.max(1) - 1);
        if window.is_empty() {
            return Ok(nothing);
        }
        let (events, through) = self.turned_round(selection, window, limit).await?;
        Ok(Page {
            events,
            through,
            head,
        })
    }

    /// Reads a window from its end, looking at every event, and says before which position to go on.
    async fn turned_round(
        &self,
        selection: &Selection,
        window: Window,
        limit: usize,
    ) -> Result<(Vec<Recorded>, Position), Error> {
        let looked_after = window
            .after
            .max(window.through.saturating_sub(as_i64(WINDOW_POSITIONS_MAX)));
        let asked = self.inner.pace.ask(limit);
        let query = sqlx::query(select_recorded!(
            "from (
                 select *
                 from log.events
                 where position > $1
                   and position <= $2
                 order by position desc
                 limit $3
             ) as looked_at
             where ($4::text is null or tenant = $4)
               and ($5::text is null or starts_with(stream, $5))
               and (cardinality($6::text[]) = 0 or type = any ($6))
               and tags @> $7::text[]
               and ($9::uuid is null or id = $9 or command_id = $9)
               and ($10::uuid is null or correlation_id = $10)
             order by position desc
             limit $8"
        ))
        .bind(looked_after)
        .bind(window.through)
        .bind(as_i64(WINDOW_POSITIONS_MAX))
        .bind(selection.tenant.as_ref().map(Tenant::as_str))
        .bind(selection.stream_prefix.as_deref())
        .bind(&selection.types)
        .bind(&selection.tags)
        .bind(as_i64(asked))
        .bind(selection.named)
        .bind(selection.correlation_id);
        let page = fetch(&self.inner, query, asked, &mut Room::default(), recorded).await?;
        let first = page.events.last().map(|event| event.position);
        let cut_at = first.filter(|_| page.may_go_on);
        if selection.selects_all() {
            check_gapless(window.through, &page.events)?;
            let first = first.unwrap_or(window.through + 1);
            if cut_at.is_none() && first > looked_after + 1 {
                return Err(self.gap_after(looked_after, first - 1).await);
            }
        }
        let rest_before = if looked_after > window.after {
            looked_after + 1
        } else {
            0
        };
        Ok((page.events, cut_at.unwrap_or(rest_before)))
    }
}

/// As [`crate::read::check_gapless`], from a position down.
fn check_gapless(through: Position, events: &[Recorded]) -> Result<(), Error> {
    let mut next = through;
    for event in events {
        if event.position != next {
            return Err(Error::Gap {
                after: event.position,
                found: next + 1,
            });
        }
        next -= 1;
    }
    Ok(())
}
