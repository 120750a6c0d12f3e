//! What people write: short and long, in several scripts, up to the last character that is allowed.

use foldline_domain::tasks::limits::{
    DESCRIPTION_CHARS_MAX, LABEL_CHARS_MAX, METADATA_KEY_CHARS_MAX, METADATA_TEXT_CHARS_MAX,
    STEP_CHARS_MAX, TITLE_CHARS_MAX,
};
use foldline_events::tasks::Metadata;
use serde_json::{Value, json};

use super::dice::Dice;

/// Names of projects, what their keys begin with, and what they are about.
pub(super) const PROJECTS: [(&str, &str, &str); 24] = [
    (
        "Public API",
        "API",
        "What customers and partners build on. Versioned; nothing breaks without a year's notice.",
    ),
    (
        "Web shop",
        "WEB",
        "Catalogue, basket and checkout in the browser.",
    ),
    (
        "Mobile app",
        "MOB",
        "iOS and Android, one code base, released every second Tuesday.",
    ),
    (
        "Legacy import",
        "LEG",
        "Brings customers over from the old system. Ends when the last one is there.",
    ),
    (
        "Payments",
        "PAY",
        "Cards, direct debit, refunds, and the reconciliation with the bank.",
    ),
    (
        "Search",
        "SRCH",
        "Finding things: index, ranking, suggestions.",
    ),
    (
        "Data platform",
        "DATA",
        "Pipelines, the warehouse, and who may see what in it.",
    ),
    (
        "Relaunch 2025",
        "RE25",
        "The campaign site and everything around it.",
    ),
    (
        "Infrastructure",
        "INFRA",
        "Clusters, networks, certificates, backups, and restoring them.",
    ),
    ("Security", "SEC", "Findings, fixes and the yearly audit."),
    (
        "Gestaltungssystem",
        "GEST",
        "Farben, Schriften, Bausteine. Größen immer in Schritten von 4 px.",
    ),
    (
        "Trade fair app",
        "FAIR",
        "Three days in spring; archived when the fair is over.",
    ),
    (
        "Onboarding",
        "ONB",
        "From signing up to the first thing that works.",
    ),
    (
        "Notifications",
        "NTF",
        "Mail, push and the settings that nobody finds.",
    ),
    (
        "日本語化",
        "L10N",
        "画面とメールを日本語にする。数字と日付の書式も。",
    ),
    (
        "Printer drivers",
        "PRN",
        "Until the new label printers arrive.",
    ),
    ("Billing", "BILL", "Invoices, taxes and dunning."),
    (
        "Customer support tools",
        "CST",
        "What our colleagues see while they are on the phone.",
    ),
    (
        "Documentation",
        "DOC",
        "Guides, reference, and examples that run.",
    ),
    ("Office move", "MOVE", "Boxes, cables, and the plants."),
    (
        "Partner portal",
        "PRTN",
        "Contracts and figures for partners.",
    ),
    (
        "Доступность",
        "A11Y",
        "Чтобы всем было удобно: контраст, клавиатура, экранный диктор.",
    ),
    (
        "Release engineering",
        "REL",
        "From a merged change to every customer, in an hour.",
    ),
    (
        "Warehouse robots",
        "BOT",
        "A pilot with two machines; ended after the summer.",
    ),
];

const VERBS: [&str; 20] = [
    "Fix",
    "Add",
    "Remove",
    "Rework",
    "Document",
    "Measure",
    "Speed up",
    "Test",
    "Translate",
    "Replace",
    "Investigate",
    "Review",
    "Clean up",
    "Automate",
    "Monitor",
    "Simplify",
    "Migrate",
    "Harden",
    "Roll out",
    "Design",
];
const OBJECTS: [&str; 32] = [
    "the login page",
    "password reset",
    "the export to CSV",
    "rate limiting",
    "the order list",
    "address validation",
    "the nightly backup",
    "retry handling",
    "the invoice template",
    "pagination",
    "the search index",
    "error messages",
    "session expiry",
    "the health check",
    "webhook signatures",
    "image uploads",
    "dark mode",
    "the empty state",
    "currency rounding",
    "the settings page",
    "audit logging",
    "the release notes",
    "feature flags",
    "time zones",
    "the welcome mail",
    "keyboard shortcuts",
    "the cache",
    "the connection pool",
    "the price filter",
    "duplicate customers",
    "the status page",
    "access rights",
];
const DETAILS: [&str; 16] = [
    "",
    "",
    "",
    "",
    " on small screens",
    " for guests",
    " in the partner portal",
    " after the upgrade",
    " for French customers",
    " under load",
    " (follow-up)",
    " before the audit",
    " in staging",
    " for read-only users",
    ", second part",
    " when the network is slow",
];
/// Scripts of both directions, combined characters, and characters outside the basic plane.
const TITLES: [&str; 14] = [
    "Größe der Schaltfläche „Weiter“ prüfen",
    "ログイン画面のエラーメッセージを直す",
    "Исправить опечатки в письме о доставке",
    "修复结账页面的价格显示",
    "إصلاح محاذاة النص في صفحة الدفع",
    "לתקן את כיוון הטקסט בכותרת",
    "Corriger l’arrondi de la TVA à 5,5 %",
    "Añadir «ñ» y «ü» a la validación de nombres",
    "결제 화면의 버튼 크기 조정",
    "Διόρθωση ημερομηνιών στο ημερολόγιο",
    "🚀 Launch page: emoji 👩‍👩‍👧‍👦 and flags 🇺🇳 must not be cut",
    "Zażółć gęślą jaźń: teksty w nagłówku",
    "ชำระเงิน: แก้ข้อความแจ้งเตือน",
    "e\u{301}tat compose\u{301}: chercher sans accents",
];
const SENTENCES: [&str; 20] = [
    "Several customers reported it last week.",
    "It happens only when the list has more than one page.",
    "Steps to see it: open the page, wait a minute, press back.",
    "The old behaviour was never written down, so ask support first.",
    "Keep the address of the page as it is.",
    "There is a draft in the shared folder.",
    "Das betrifft auch die österreichischen Kunden.",
    "We agreed on the smaller solution for now.",
    "A number is better than an adjective: say how fast it has to be.",
    "Nothing may be deleted before legal has answered.",
    "The test environment has the same problem.",
    "お客様からの問い合わせが増えています。",
    "See also the notes of the last review.",
    "If in doubt, leave it out.",
    "The deadline comes from the contract, so it cannot move.",
    "Half of it is done already in another task.",
    "Нужно согласовать с отделом продаж.",
    "It must work without a mouse.",
    "Please do not round twice.",
    "Thanks for looking into this! 🙏",
];
const COMMENTS: [&str; 14] = [
    "Looked at it: reproduced.",
    "Waiting for an answer from the customer.",
    "Done on my side, please have a look.",
    "Could this wait until after the release?",
    "Sieht gut aus. Nur die Abstände stimmen noch nicht ganz.",
    "I would rather not touch this before Friday.",
    "确认过了，没有问题。",
    "The figures of last night: 1,204 before, 311 after.",
    "Same here.",
    "Split off the second part, it is a topic of its own.",
    "👍",
    "Needs a migration, so not on a weekend.",
    "Who knows how this was meant to work?",
    "C'est corrigé en préproduction.",
];
const LABELS: [&str; 14] = [
    "bug",
    "feature",
    "chore",
    "docs",
    "security",
    "performance",
    "ux",
    "customer",
    "regression",
    "quick win",
    "über-dringend",
    "後で",
    "🚀 launch",
    "tech-debt",
];
const REASONS: [&str; 10] = [
    "Waiting for the vendor.",
    "The test environment is down.",
    "Needs a decision on the price first.",
    "Depends on the new certificate.",
    "Nobody answers on the customer's side.",
    "Die Freigabe fehlt noch.",
    "Other work came first.",
    "It turned out to be a duplicate.",
    "返信待ち",
    "Not worth it any more.",
];
const STEPS: [&str; 12] = [
    "Write a test that fails",
    "Ask support",
    "Agree on the wording",
    "Change the schema",
    "Update the documentation",
    "Measure before",
    "Measure after",
    "Tell the partners",
    "Übersetzungen nachziehen",
    "Remove the old code",
    "Try it in staging",
    "スクリーンショットを撮る",
];
const SUMMARIES: [&str; 6] = [
    "No findings.",
    "Two tests are missing: the empty list, and the last page.",
    "The change is larger than the task says; consider splitting it.",
    "Reads well. One name says what, not why.",
    "Could not be built.",
    "エラー処理が足りません。",
];
const CUSTOMERS: [&str; 6] = [
    "Acme",
    "Bäckerei Vogel",
    "Globex",
    "株式会社山田",
    "Initech",
    "O'Neill & Sons",
];

/// Repeated until there are just so many characters.
pub(super) fn exactly(chars: usize, of: &str) -> String {
    of.chars().cycle().take(chars).collect()
}

pub(super) fn title(dice: &mut Dice) -> String {
    if dice.chance(1) {
        return exactly(TITLE_CHARS_MAX, "長いタイトル 🧵 ");
    }
    if dice.chance(12) {
        return (*dice.one(&TITLES)).to_owned();
    }
    let (verb, object, detail) = (dice.one(&VERBS), dice.one(&OBJECTS), dice.one(&DETAILS));
    format!("{verb} {object}{detail}")
}

pub(super) fn description(dice: &mut Dice) -> String {
    match dice.between(1, 200) {
        // Four bytes each, and as many characters as are allowed.
        1 => exactly(DESCRIPTION_CHARS_MAX, "𝔏𝔬𝔫𝔤 "),
        2..=6 => sentences(dice, 20, 60),
        _ => sentences(dice, 1, 5),
    }
}

fn sentences(dice: &mut Dice, least: u32, most: u32) -> String {
    let count = dice.between(least, most);
    let chosen: Vec<&str> = (0..count).map(|_| *dice.one(&SENTENCES)).collect();
    chosen.join(if dice.chance(20) { "\n\n" } else { " " })
}

pub(super) fn comment(dice: &mut Dice) -> String {
    match dice.chance(10) {
        true => sentences(dice, 2, 8),
        false => (*dice.one(&COMMENTS)).to_owned(),
    }
}

pub(super) fn label(dice: &mut Dice) -> String {
    match dice.between(1, 300) {
        1 => exactly(LABEL_CHARS_MAX, "ラベル "),
        _ => (*dice.one(&LABELS)).to_owned(),
    }
}

pub(super) fn reason(dice: &mut Dice) -> String {
    (*dice.one(&REASONS)).to_owned()
}

pub(super) fn step(dice: &mut Dice) -> String {
    match dice.between(1, 400) {
        1 => exactly(STEP_CHARS_MAX, "One thing after another. "),
        _ => (*dice.one(&STEPS)).to_owned(),
    }
}

pub(super) fn summary(dice: &mut Dice) -> String {
    (*dice.one(&SUMMARIES)).to_owned()
}

/// One free-form fact.
pub(super) fn fact(dice: &mut Dice) -> (String, Value) {
    let (name, value) = match dice.between(1, 60) {
        1 => {
            return (
                exactly(METADATA_KEY_CHARS_MAX, "naïve/~name "),
                json!(exactly(METADATA_TEXT_CHARS_MAX, "値 ")),
            );
        }
        2..=20 => (
            "component",
            json!(*dice.one(&["ui", "server", "database", "mail"])),
        ),
        21..=35 => ("sprint", json!(dice.between(1, 26))),
        36..=45 => ("customer", json!(*dice.one(&CUSTOMERS))),
        46..=53 => ("regression", json!(dice.chance(30))),
        _ => ("effort", json!(f64::from(dice.between(1, 40)) / 4.0)),
    };
    (name.to_owned(), value)
}

pub(super) fn metadata(dice: &mut Dice) -> Metadata {
    let count = dice.between(1, 3);
    (0..count).map(|_| fact(dice)).collect()
}
