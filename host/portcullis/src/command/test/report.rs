//! The report: a line a check as it ends, what is wrong below it, the sum at the end; JSON lines, or JUnit's XML beside it.
use crate::{
    exit::{Exit, Result, at_file},
    output,
};
use portcullis_manifest::diagnose::{is_hidden, without_secrets};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// One line of the report.
#[derive(Debug)]
pub struct Check {
    /// Cassette, and what was checked of it.
    pub name: String,
    /// The cassette.
    pub file: Option<PathBuf>,
    /// What is wrong; none = it holds.
    pub fault: Option<String>,
    /// Why nothing could be checked; what to do about it.
    pub skipped: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl Check {
    /// One line.
    pub fn new(name: &str, file: Option<PathBuf>, fault: Option<String>, took: Duration) -> Self {
        Self { name: name.to_owned(), file, fault, skipped: None, took }
    }
}

/// All checks so far.
pub struct Report {
    as_json: bool,
    checks: Vec<Check>,
}

impl Report {
    /// An empty one.
    pub fn new(as_json: bool) -> Self {
        Self { as_json, checks: Vec::new() }
    }

    /// Shows one and keeps it.
    pub fn add(&mut self, mut check: Check) {
        check.name = output::shown_line(&check.name);
        for words in [&mut check.fault, &mut check.skipped].into_iter().flatten() {
            *words = without_secrets(words);
        }
        let file = check.file.as_ref().map(|file| output::shown_line(&file.display().to_string()));
        if self.as_json {
            output::json_line(&json!({
                "test": check.name, "file": file, "passed": check.fault.is_none(), "fault": check.fault,
                "skipped": check.skipped,
                "duration_us": u64::try_from(check.took.as_micros()).unwrap_or(u64::MAX),
            }));
        } else {
            let word = match (&check.fault, &check.skipped) {
                (Some(_), _) => "FAIL",
                (None, Some(_)) => "skip",
                (None, None) => "ok  ",
            };
            output::line(&format!("{word}  {}  {} ms", check.name, check.took.as_millis()));
            if let Some(fault) = check.fault.as_ref().or(check.skipped.as_ref()) {
                let place = file.map_or(String::new(), |file| format!("{file}: "));
                for line in format!("{place}{fault}").lines() {
                    output::line(&format!("      {line}"));
                }
            }
        }
        self.checks.push(check);
    }

    /// Writes JUnit's XML, as pipelines read it.
    pub fn junit(&self, file: &Path) -> Result<()> {
        let failures = self.failures();
        let seconds: f64 = self.checks.iter().map(|check| check.took.as_secs_f64()).sum();
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"portcullis\" tests=\"{}\" failures=\"{failures}\" skipped=\"{}\" time=\"{seconds:.3}\">\n",
            self.checks.len(),
            self.skipped()
        );
        for check in &self.checks {
            let (name, took) = (escaped(&check.name), check.took.as_secs_f64());
            let place = check.file.as_ref().map_or(String::new(), |file| file.display().to_string());
            xml.push_str(&format!(
                "  <testcase classname=\"{}\" name=\"{name}\" time=\"{took:.3}\"",
                escaped(&place)
            ));
            match (&check.fault, &check.skipped) {
                (None, None) => xml.push_str("/>\n"),
                (None, Some(why)) => {
                    let why = escaped(why);
                    xml.push_str(&format!(">\n    <skipped message=\"{why}\"/>\n  </testcase>\n"));
                }
                (Some(fault), _) => {
                    let first = escaped(fault.lines().next().unwrap_or_default());
                    let all = escaped(fault);
                    xml.push_str(&format!(
                        ">\n    <failure message=\"{first}\">{all}</failure>\n  </testcase>\n"
                    ));
                }
            }
        }
        xml.push_str("</testsuite>\n");
        std::fs::write(file, xml).map_err(at_file("write", file))
    }

    /// Checks that do not hold.
    pub fn failures(&self) -> usize {
        self.checks.iter().filter(|check| check.fault.is_some()).count()
    }

    /// Checks that had nothing to look at.
    fn skipped(&self) -> usize {
        self.checks.iter().filter(|check| check.skipped.is_some()).count()
    }

    /// The sum, and how the command ends.
    pub fn end(self) -> Exit {
        let (failures, skipped) = (self.failures(), self.skipped());
        if !self.as_json {
            let passed = self.checks.len() - failures - skipped;
            let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
            output::line(&format!("{passed} passed, {failures} failed{skipped}"));
        }
        if failures == 0 { Exit::Success } else { Exit::Failed }
    }
}

/// Text in XML 1.0: markup escaped, and what no document may hold replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            unseen if is_hidden(unseen) => out.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junit_is_xml_whatever_a_vendor_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("junit.xml");
        let mut report = Report::new(true);
        report.checks.push(Check::new("a <b>", None, None, Duration::from_millis(12)));
        let fault = "expected \"x\" & <y>\n\u{1b}[31m".to_owned();
        let skipped = Some("nothing <to> see".to_owned());
        report.checks.push(Check { skipped, ..Check::new("b", None, None, Duration::ZERO) });
        report.checks.push(Check::new("c", Some("d.toml".into()), Some(fault), Duration::ZERO));
        report.junit(&file).unwrap();
        let xml = std::fs::read_to_string(&file).unwrap();
        assert_eq!(
            xml,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuite name=\"portcullis\" tests=\"3\" failures=\"1\" skipped=\"1\" time=\"0.012\">\n\
             \x20 <testcase classname=\"\" name=\"a &lt;b&gt;\" time=\"0.012\"/>\n\
             \x20 <testcase classname=\"\" name=\"b\" time=\"0.000\">\n\
             \x20   <skipped message=\"nothing &lt;to&gt; see\"/>\n  </testcase>\n\
             \x20 <testcase classname=\"d.toml\" name=\"c\" time=\"0.000\">\n\
             \x20   <failure message=\"expected &quot;x&quot; &amp; &lt;y&gt;\">expected &quot;x&quot; &amp; &lt;y&gt;&#10;\u{fffd}[31m</failure>\n\
             \x20 </testcase>\n</testsuite>\n"
        );
        assert_eq!(report.end(), Exit::Failed);
    }
}
