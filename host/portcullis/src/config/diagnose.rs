//! Renders a fault with the line of the document underlined.
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report};
use portcullis_manifest::Diagnostic;

/// The fault as a person reads it, without colour (a terminal's colours would not survive a pipe).
pub fn render(diagnostic: &Diagnostic) -> String {
    let mut shown = MietteDiagnostic::new(diagnostic.to_string());
    if let Some(help) = &diagnostic.help {
        shown = shown.with_help(help.clone());
    }
    let report = match &diagnostic.location {
        Some(location) => {
            let length = location.span.len().max(1);
            shown = shown.with_label(LabeledSpan::underline((location.span.start, length)));
            let name = diagnostic.file.display().to_string();
            Report::new(shown).with_source_code(NamedSource::new(name, location.text.to_string()))
        }
        None => Report::new(shown),
    };
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(110);
    if handler.render_report(&mut text, report.as_ref()).is_err() {
        return format!("error: {diagnostic}");
    }
    format!("error:{}", text.trim_end())
}
