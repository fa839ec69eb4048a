//! What is old is told apart less finely, and what is too old is dropped.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::config::Prices;
use super::spread::{DAY, HOUR, start};

/// How many rows of a table one step takes.
const ROWS: i64 = 5000;

/// Does one step at a time in seconds since the epoch. False when there is nothing to do.
pub(super) fn tidy(connection: &mut Connection, prices: &Prices, now: f64) -> rusqlite::Result<bool> {
    let transaction = connection.transaction()?;
    let before = |keep: Duration, length: i64| start(now - keep.as_secs_f64(), length);
    let fine = take(&transaction, "fine", Some(("hours", HOUR)), before(prices.keep_fine, HOUR))?;
    let hours = take(&transaction, "hours", Some(("days", DAY)), before(prices.keep_hours, DAY))?;
    let days = take(&transaction, "days", None, before(prices.keep, DAY))?;
    transaction.commit()?;
    Ok(fine || hours || days)
}

/// Takes the first rows before a time out of a table, and adds them to a coarser one if there is one.
fn take(connection: &Connection, table: &str, into: Option<(&str, i64)>, before: i64) -> rusqlite::Result<bool> {
    let last = format!(
        "SELECT start, account, resource FROM (SELECT * FROM {table} WHERE start < ?1 ORDER BY start, account, resource LIMIT ?2) \
         ORDER BY start DESC, account DESC, resource DESC LIMIT 1"
    );
    let key = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let Some((start, account, resource)) = connection.prepare_cached(&last)?.query_row([before, ROWS], key).optional()? else {
        return Ok(false);
    };
    let upto = "(start, account, resource) <= (?1, ?2, ?3)";
    if let Some((into, length)) = into {
        let merge = format!(
            "INSERT INTO {into} SELECT start / {length} * {length}, account, resource, sum(used), sum(allocated), sum(reserved) FROM {table} \
             WHERE {upto} GROUP BY 1, 2, 3 ON CONFLICT DO UPDATE SET used = used + excluded.used, \
             allocated = allocated + excluded.allocated, reserved = reserved + excluded.reserved"
        );
        connection.prepare_cached(&merge)?.execute(params![start, account, resource])?;
    }
    connection.prepare_cached(&format!("DELETE FROM {table} WHERE {upto}"))?.execute(params![start, account, resource])?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use headroom_model::accounting::Areas;
    use headroom_model::resource::Resource;

    use super::*;
    use crate::accounting::query::{Wanted, lines, totals};
    use crate::accounting::schema::{account, file_all, writable};
    use crate::accounting::spread::{FINE, Part};
    use crate::accounting::state::{Filed, Holder};
    use crate::refeeder::Owners;

    #[test]
    fn nothing_is_lost_but_what_is_too_old() {
        let directory = tempfile::tempdir().unwrap();
        let mut connection = writable(&directory.path().join("accounting.db")).unwrap();
        let (first, days) = (20_000 * DAY, 10);
        let areas = Areas { used: 1.0, allocated: 2.0, reserved: 4.0 };
        for name in ["a", "b", "c"] {
            let holder = Holder { structure: name.into(), owners: Owners::default() };
            let id = account(&connection, "host0", &holder).unwrap();
            let transaction = connection.transaction().unwrap();
            for at in (first..first + days * DAY).step_by(300) {
                let part = Part { start: at, length: FINE, areas };
                file_all(&transaction, &[Resource::Cpu, Resource::Mem].map(|resource| Filed { account: id, resource, part }))
                    .unwrap();
            }
            transaction.commit().unwrap();
        }
        let day = Duration::from_hours(24);
        let prices = Prices { keep_fine: day, keep_hours: 3 * day, keep: 8 * day, ..Prices::default() };
        let used = |connection: &mut Connection, from: i64, to: i64| {
            let wanted = Wanted { structure: Some("b".into()), from: from as f64, to: to as f64, ..Wanted::default() };
            lines(connection, &wanted).unwrap().iter().map(|line| line.areas.used).collect::<Vec<_>>()
        };
        let end = first + days * DAY;
        assert_eq!(used(&mut connection, 0, end), [2880.0, 2880.0]);
        while tidy(&mut connection, &prices, end as f64).unwrap() {}
        assert_eq!(used(&mut connection, 0, end), [8.0 * 288.0; 2], "the last eight days");
        let all = totals(&mut connection, &Wanted { to: end as f64, ..Wanted::default() }).unwrap();
        assert_eq!(all.iter().map(|line| line.areas.used).collect::<Vec<_>>(), [3.0 * 8.0 * 288.0; 2]);
        // A day by hours, one by days, and one by five minutes; of those that are partly asked for their part.
        assert_eq!(used(&mut connection, end - 2 * DAY, end - DAY), [288.0; 2]);
        assert_eq!(used(&mut connection, first + 4 * DAY, first + 5 * DAY), [288.0; 2]);
        assert_eq!(used(&mut connection, end - 600, end), [2.0; 2]);
        assert_eq!(used(&mut connection, end - 2 * DAY, end - 2 * DAY + 1800), [6.0; 2]);
        let rows =
            |table: &str| connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((rows("fine"), rows("hours"), rows("days")), (4 * 2 * 288, 4 * 2 * 48, 4 * 2 * 5));
    }
}
