// SPDX-License-Identifier: BSD-3-Clause
// Events as they happen, audit, status, graphs, policies.
import {get, post} from "./api.js";
import {chart} from "./chart.js";
import {h} from "./dom.js";
import {ago, number, plain, sentence, size, span, strange, time}
    from "./text.js";
import {button, choice, csvButton, facts, field, gauge, gaugesOf, hashOf,
    senderLink, table} from "./ui.js";
import {problemList} from "./view_stuck.js";

const EVENTS = 500;

export function events(app) {
    let rows = [], type = "", text = "", is_paused = false, missed = 0;

    const nameOf = (e) => `${e.type} ${e.sender} ${e.id} ${e.first}`;

    async function refresh(signal) {
        if (!is_paused)
            rows = (await get("events", {max: EVENTS}, signal)).items
                .reverse();
    }

    // The same of one sender and one message is one entry that counts.
    function onEvent(t, row) {
        if (is_paused) {
            missed++;
        } else {
            rows = [row, ...rows.filter((e) => nameOf(e) !== nameOf(row))]
                .slice(0, EVENTS);
        }
        app.redraw();
        return false;
    }

    function draw() {
        const wanted = rows.filter((e) => (!type || e.type === type) &&
            (!text || (e.sender + " " + e.detail).toLowerCase()
                .includes(text.toLowerCase())));

        return h("div", {},
            h("form", {class: "filters", onsubmit: (e) =>
                e.preventDefault()},
            choice("Type", type, [["", "all"], ...(app.session.event_types ||
                []).map((t) => [t, t])], (e) => {
                type = e.target.value;
                app.redraw();
            }),
            field("Contains", {type: "search", value: text, oninput: (e) => {
                text = e.target.value;
                app.redraw();
            }}),
            button(is_paused ? `Resume${missed ? ` (${missed} new)` : ""}`
                : "Pause", () => {
                is_paused = !is_paused;
                missed = 0;
                app.refresh();
            }),
            csvButton("events", ["at", "type", "sender", "id", "detail",
                "count"].map((n) => [n, (e) => e[n]]), () => wanted)),
            table(is_paused ? "Paused" : "Live, newest first", [
                {name: "When", cell: (e) => time(e.at)},
                {name: "Event", k: true, cell: (e) => e.type},
                {name: app.is_net ? "Host" : "Sender", a: !app.is_net,
                    cell: (e) => senderLink(e.sender)},
                {name: "Detail", cell: (e) => [strange(e.detail), e.id &&
                    !app.is_net ? [" ", h("a", {href: hashOf("message",
                        e.id)}, e.id)] : ""]},
                {name: "Count", n: true, cell: (e) => number(e.count)},
            ], wanted.slice(0, 200), {key: nameOf,
                empty: "No matching events in memory."}));
    }

    return {title: "Events", refresh, draw, onEvent, every: 60000,
        isAllEvents: true};
}

export function audit(app) {
    let rows = [];

    async function refresh(signal) {
        rows = (await get("audit", {max: 500}, signal)).items;
    }

    const draw = () => h("div", {},
        h("div", {class: "acts"}, csvButton("audit", ["at", "who", "action",
            "target", "detail"].map((n) => [n, (a) => a[n]]), () => rows)),
        table("Actions of administrators, newest first", [
            {name: "When", cell: (a) => time(a.at)},
            {name: "Who", cell: (a) => strange(a.who)},
            {name: "Action", k: true, cell: (a) => plain(a.action)},
            {name: "Target", cell: (a) => strange(a.target)},
            {name: "Detail", cell: (a) => strange(a.detail)},
        ], rows, {empty: "No actions recorded yet."}));

    return {title: "Audit", refresh, draw, every: 10000,
        onEvent: (type) => ["freeze", "thaw", "release", "discard",
            "reload"].includes(type)};
}

export function status(app) {
    let s = null, problems = [], alerts = [];

    async function refresh(signal) {
        [s, problems, alerts] = await Promise.all([get("status", {}, signal),
            get("problems", {max: 100}, signal).then((p) => p.items),
            app.is_net ? [] : get("alerts", {}, signal)
                .then((list) => list.items)]);
    }

    async function test(a) {
        try {
            await post(`alerts/${encodeURIComponent(a.alert)}/test`);
            app.toast(`Test sent through ${plain(a.alert)}.`);
        } catch (e) {
            app.toast(`Test of ${plain(a.alert)}: ${plain(e.message, 500)}`,
                {bad: true});
        }
        app.refresh();
    }

    async function reload() {
        try {
            const done = await post("reload");

            app.toast(["The configuration has been reloaded.",
                ...(done.notes || [])].map((n) => plain(n, 300)).join(" "));
        } catch (e) {
            app.toast(sentence(plain(e.message, 500)), {bad: true});
        }
        app.refresh();
    }

    function nextHops() {
        const pool = s.next_hop_pool || {};
        const states = {up: "working", down: h("span", {class: "badge bad"},
            "down"), untried: "not tried yet"};

        return h("section", {}, h("h2", {}, "Next hops"),
            s.next_hop_problem && h("p", {class: "error", role: "alert"},
                strange(s.next_hop_problem)),
            table("In the order they are tried", [
                {name: "Address", cell: (n) => strange(n.address)},
                {name: "State", cell: (n) => states[n.state] || n.state},
                {name: "Last error", cell: (n) => strange(n.reason || "–")},
                {name: "Failed", cell: (n) => ago(n.failed_at)},
                {name: "Next try", cell: (n) => n.next_try
                    ? ago(n.next_try) : n.state === "down"
                        ? "with the next message" : "–"},
            ], s.next_hops || [], {key: (n) => n.address}),
            facts([
                ["Connections", [`${number(pool.open)} of ` +
                    `${number(pool.max)}, ${number(pool.idle)} idle`]],
                ["Waiting for a connection", number(pool.waiting)],
                ["Being delivered", number(s.delivering_messages)],
            ]));
    }

    const alertSection = () => h("section", {}, h("h2", {}, "Alerts"),
        table("Notifications of freezes and failures", [
            {name: "Alert", cell: (a) => strange(a.alert)},
            {name: "Channel", k: true, cell: (a) => plain(a.channel)},
            {name: "Waiting", n: true, cell: (a) => number(a.waiting)},
            {name: "Last sent", cell: (a) => ago(a.last_sent, "never")},
            {name: "Last error", cell: (a) => a.last_error
                ? [strange(a.last_error), a.attempts > 1
                    ? ` (${number(a.attempts)} attempts)` : ""] : "–"},
            app.can("operate") && {name: "Action", cell: (a) =>
                button("Send a test", () => test(a), {label:
                    `Send a test through ${plain(a.alert)}`})},
        ].filter(Boolean), alerts, {key: (a) => a.alert, empty: "No alerts " +
            "are sent: the configuration has no alert section."}));

    function draw() {
        if (!s)
            return h("p", {}, "Loading …");
        const spool = s.spool || {};
        const counters = Object.keys(s).filter((k) =>
            typeof s[k] === "number" && k !== "uptime_s");

        return h("div", {},
            h("section", {}, h("h2", {}, "Daemon"), facts([
                ["Program", `${app.session.daemon} ${s.version}`],
                ["Mode", s.mode === "observe"
                    ? "observe: nothing is held" : s.mode],
                ["Running for", span(s.uptime_s)],
                ["Started", time(s.started_at)],
                [app.is_net ? "Hosts" : "Senders", number(s.senders)],
                ["Frozen", number(s.frozen_senders)],
                s.rules && ["Rules", strange(s.rules)],
            ]), app.can("admin") && h("div", {class: "acts"},
                button("Reload the configuration", reload))),
            !app.is_net && nextHops(),
            s.spool && h("section", {}, h("h2", {}, "Spool"), facts([
                ["Messages", [number(spool.messages),
                    s.loading ? " so far: held mail is being read" : ""]],
                ...["held", "released", "deferred", "sending"]
                    .filter((k) => k in spool).map((k) =>
                        [`Recipients ${k}`, number(spool[k])]),
                ["Free space", [size(spool.free_bytes),
                    spool.short_of_space ? h("strong", {}, " low: " +
                        "mail is refused") : ""]],
                ["Database errors", number(spool.database_errors)],
            ])),
            (s.expiring_certificates || []).length > 0 && h("section", {},
                h("h2", {}, "Certificates"), h("ul", {},
                    s.expiring_certificates.map((c) => h("li", {},
                        strange(c.names), c.expired ? " expired "
                            : " expires ", ago(c.expires_at), " (",
                        h("code", {}, strange(c.file)), ")")))),
            s.shared && h("section", {}, h("h2", {}, "Shared with other " +
                "relays"), facts([
                ["Server", s.shared.up ? "connected" : [h("span",
                    {class: "badge bad"}, "not connected"), " ",
                strange(s.shared.problem)]],
                ["Since", s.shared.since ? time(s.shared.since) : "–"],
                ["Frozen there", number(s.shared.frozen)],
                ["Waiting to be sent", number(s.shared.waiting)],
                ["This relay", strange(s.shared.relay)],
                ["Other relays", number(s.shared.other_relays) +
                    (s.shared.relays_down > 0 ? ", " +
                        `${number(s.shared.relays_down)} of them down` : "")],
                s.shared.same_name && ["Same hostname", h("span",
                    {class: "badge bad"}, "another relay uses it too")],
            ])),
            !app.is_net && alertSection(),
            h("section", {}, h("h2", {}, "Problems"), problems.length > 0
                ? problemList(problems) : h("p", {}, "None.")),
            h("details", {}, h("summary", {}, "All counters since start"),
                table("Counters", [
                    {name: "Counter", cell: (k) => k.replace(/_/g, " ")},
                    {name: "Value", n: true, cell: (k) => number(s[k])},
                ], counters, {key: (k) => k})));
    }

    return {title: "Status", refresh, draw, every: 5000};
}

export function graphs(app) {
    let data = null, which = "day", missing = "";

    async function refresh(signal) {
        try {
            data = await get("graph", {span: which}, signal);
        } catch (e) {
            if (e.status !== 404)
                throw e;
            missing = "This daemon keeps no graphs.";
        }
    }

    function plot(title, names) {
        const lines = names.map((n) => data.series.find((x) => x.name === n))
            .filter(Boolean).map((x) => ({name: x.label, gauge: x.gauge,
                values: x.values}));

        return lines.length === 0 ? null : chart(title,
            {start: Date.parse(data.start), step_s: data.step_s, lines});
    }

    function draw() {
        const per = data && (data.step_s < 3600
            ? span(data.step_s) : `${data.step_s / 3600} h`);

        return h("div", {},
            h("form", {class: "filters", onsubmit: (e) =>
                e.preventDefault()}, choice("Span", which, [["day",
                "last day"], ["week", "last week"]], (e) => {
                which = e.target.value;
                app.refresh();
            })),
            missing ? h("p", {}, missing) : !data ? h("p", {}, "Loading …")
                : [
                    plot("Waiting", ["held_recipients", "held_messages"]),
                    plot("Frozen", ["frozen_senders"]),
                    plot(`Verdicts per ${per}`, ["passed_recipients",
                        "delayed_recipients", "refused_recipients",
                        "released_recipients", "discarded_recipients"]),
                    plot(`Delivery per ${per}`, ["messages",
                        "delivered_recipients", "deferred_recipients",
                        "bounces"]),
                    h("p", {class: "dim"}, "Kept in the daemon's memory " +
                        "since its start. Times are local: ", new Intl.DateTimeFormat("en-GB",
                        {timeZoneName: "long"}).formatToParts(new Date())
                            .find((p) => p.type === "timeZoneName").value,
                        "."),
                ]);
    }

    return {title: "Graphs", refresh, draw, every: 60000};
}

export function policies(app, args, params) {
    let lines = null, x = null, error = "";
    const ask = {sender: params.get("sender") || "",
        recipient: params.get("recipient") || "", client: ""};

    async function refresh(signal) {
        if (app.can("admin"))
            lines = (await get("config", {}, signal)).lines;
    }

    async function explain(e) {
        e.preventDefault();
        error = "";
        x = null;
        try {
            x = await get("explain", ask);
        } catch (problem) {
            error = problem.message;
        }
        app.redraw();
    }

    // The sections of one kind, as they are written.
    function sections(kind) {
        const out = [];
        let open = null;

        for (const line of lines) {
            if (line.startsWith(kind + " "))
                open = [];
            if (open)
                open.push(line);
            if (open && line.startsWith("}")) {
                out.push(open.join("\n"));
                open = null;
            }
        }
        return out;
    }

    const answer = () => h("div", {class: "card", role: "status"},
        h("p", {}, h("strong", {}, x.verdict), x.why ? [": ",
            strange(x.why)] : "", x.observed ? " (observed only)" : "",
        x.reply ? [", reply ", plain(x.reply)] : ""),
        x.change && h("p", {}, "What would change it: ", strange(x.change)),
        facts([
            ["Sender", [senderLink(x.sender), x.seen ? ""
                : " (never seen)"]],
            ["Policy", strange(x.policy)],
            x.tier && ["The recipient is", plain(x.tier)],
            x.release && ["Would be released", time(x.release)],
            ["Allowance", `${number(x.allowance)} of ` +
                number(x.burst)],
        ]),
        h("div", {class: "gauges"}, gaugesOf(x).map(gauge)));

    function draw() {
        return h("div", {},
            !app.is_net && h("section", {}, h("h2", {}, "Explain"),
                h("p", {}, "What would happen now to mail from a sender to " +
                    "a recipient, and why. No allowance is used up."),
                h("form", {class: "filters", onsubmit: explain},
                    field("Sender", {required: true, value: ask.sender,
                        oninput: (e) => { ask.sender = e.target.value; }}),
                    field("Recipient", {required: true,
                        value: ask.recipient, oninput: (e) => {
                            ask.recipient = e.target.value;
                        }}),
                    field("Client address (optional)", {value: ask.client,
                        oninput: (e) => { ask.client = e.target.value; }}),
                    h("button", {type: "submit", class: "main"}, "Explain")),
                error && h("p", {class: "error", role: "alert"},
                    strange(error)),
                x && answer()),
            lines && [
                h("section", {}, h("h2", {}, "Policies in force"),
                    sections("policy").map((p) => h("pre", {class: "text",
                        tabindex: "0"}, strange(p, {max: 20000,
                        lines: true})))),
                h("details", {}, h("summary", {},
                    "The whole configuration"),
                h("pre", {class: "text", tabindex: "0"}, strange(
                    lines.join("\n"), {max: 200000, lines: true})))],
            !app.can("admin") && h("p", {class: "dim"}, "The configuration " +
                "is shown only to administrators with the right admin."));
    }

    return {title: "Policies", refresh, draw,
        onEvent: (type) => type === "reload"};
}
