//! What is going on, for a person who watches: one line on standard error that overwrites itself.
//! Nothing at all when standard error is not a terminal.

use std::io::{IsTerminal as _, Write as _};

pub(crate) struct Progress {
    terminal: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }

    /// `part` of 1 is done.
    pub(crate) fn show(&self, part: f64, what: &str) {
        const WIDTH: usize = 24;
        if !self.terminal {
            return;
        }
        let mut bar = String::new();
        for cell in 0..WIDTH {
            let begins = crate::stats::float(u64::try_from(cell).unwrap_or_default()) / 24.0;
            bar.push(if begins < part { '#' } else { '.' });
        }
        let mut error = std::io::stderr();
        write!(error, "\r\x1b[K[{bar}] {:3.0} %  {what}", part * 100.0).and_then(|()| error.flush()).ok();
    }

    pub(crate) fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}
