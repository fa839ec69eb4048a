//! A log that nobody reads, as of `headroom-agent run 2>&1 | less`.

use std::io::{self, Write};

use nix::fcntl::{FcntlArg, fcntl};

use crate::bed::Bed;
use crate::files::shares;

#[test]
fn limits_do_not_wait_for_whoever_reads_the_log() {
    let bed = Bed::new("unread");
    let container = bed.container("cont0");
    let mut load = container.burn(1, 0.0);
    let mut config = bed.config();
    config.guard("cont0", "true", [5, 100, 5]);

    let (_unread, mut log) = io::pipe().unwrap();
    let room = usize::try_from(fcntl(&log, FcntlArg::F_GETPIPE_SZ).unwrap()).unwrap();
    log.write_all(&vec![b'.'; room]).unwrap();
    let mut agent = bed.run_logging_to(log, &config);
    agent.until("its limit is down", |_| shares(&container) == Some(15.0));
    load.set_duty(1.0);
    agent.until("its limit is up", |_| shares(&container).is_some_and(|shares| shares > 50.0));
    let (status, _) = agent.end();
    assert!(status.success(), "{status}");
}
