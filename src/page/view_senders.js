// SPDX-License-Identifier: BSD-3-Clause
// All senders, and one of them.
import {bulk, freeze, thaw, thawAnd} from "./actions.js";
import {get, post, senderPath} from "./api.js";
import {h} from "./dom.js";
import {ago, clock, count, number, plain, strange, subject, time}
    from "./text.js";
import {button, choice, csvButton, facts, field, gauge, gaugesOf,
    leftOf, messageHash, messageKey, missing, nearness, reasonField,
    relayColumn, senderLink, since, state, table} from "./ui.js";

const HISTORY = 1000;
const PAGE = 100; // rows, to begin with

export function senders(app, [which]) {
    let rows = [], next = null, want = PAGE, q = "", show = which || "all";
    let timer, away = [];

    const query = () => ({term: q,
        limit: Math.min(1000, want),
        frozen: show === "frozen" ? true : undefined,
        busy: show === "busy" ? true : undefined});

    async function refresh(signal) {
        // What was paged in stays in sight.
        let page = await get("senders", query(), signal), list = page.items;

        while (page.next && list.length < want) {
            page = await get("senders", {...query(), cursor: page.next},
                signal);
            list = list.concat(page.items);
        }
        rows = list;
        next = page.next;
        away = page.elsewhere;
    }

    function again() {
        rows = [];
        want = PAGE;
        app.refresh();
    }

    // Only refresh() writes the rows: an answer that is on its way would else
    // take away again what came in between.
    function more() {
        want += PAGE;
        app.refresh();
    }

    const columns = () => [
        {name: app.is_net ? "Host" : "Sender", cell: (s) => senderLink(s.sender)},
        {name: "State", k: true, cell: (s) => state(s) || "–"},
        {name: "Waiting", n: true, cell: (s) => number(s.queue_length)},
        {name: "Allowance", n: true, cell: (s) => number(s.allowance)},
        {name: "Policy", cell: (s) => strange(s.policy)},
        {name: "Last seen", cell: (s) => ago(s.last_seen)},
        {name: "Frozen since", cell: (s) => time(s.frozen_at)},
        relayColumn(rows),
    ].filter(Boolean);

    function draw() {
        return h("div", {},
            h("form", {class: "filters", role: "search",
                onsubmit: (e) => { e.preventDefault(); app.refresh(); }},
            field("Name contains", {type: "search", value: q,
                oninput: (e) => {
                    q = e.target.value;
                    clearTimeout(timer);
                    timer = setTimeout(again, 250);
                }}),
            choice("State", show, [["all", "all"], ["busy",
                "frozen or waiting"], ["frozen", "frozen"]], (e) => {
                show = e.target.value;
                again();
            }),
            csvButton("senders", [["sender", (s) => s.sender],
                ["frozen", (s) => s.frozen], ["reason", (s) =>
                    s.freeze_reason], ["waiting", (s) => s.queue_length],
                ["policy", (s) => s.policy], ["last seen", (s) =>
                    s.last_seen], ["frozen at", (s) => s.frozen_at]],
            () => rows)),
            missing(away),
            table(`${next ? "First " : ""}${count(rows.length,
                app.words.sender)}`, columns(), rows,
            {key: (s) => `${s.sender} ${s.relay || ""}`, empty: q || show !== "all"
                ? `No ${app.words.sender} matches.`
                : `No ${app.words.sender}s in memory yet.`}),
            next && button("Show more", more));
    }

    return {title: app.is_net ? "Hosts" : "Senders", refresh, draw,
        every: 10000, onEvent: (type) => type === "freeze" ||
            type === "thaw"};
}

export function sender(app, [name]) {
    let s = null, messages = [], events = [], audit = [], gone = "";
    let reason = "", away = null;

    const quiet = (promise) => promise.catch((e) => {
        if (e.status === 404 || e.status === 403)
            return {items: []};
        throw e;
    });

    async function refresh(signal) {
        try {
            s = await get(senderPath(name), {}, signal);
            gone = "";
        } catch (e) {
            if (e.status !== 404)
                throw e;
            s = null;
            gone = e.message;
        }
        const [queue, seen, done] = await Promise.all([
            quiet(app.is_net ? get("queue", {sender: name, limit: 20}, signal)
                : get("find", {sender: name, max: 20}, signal)),
            quiet(get("events", {max: HISTORY}, signal)),
            app.is_net || app.session.domain ? {items: []}
                : quiet(get("audit", {max: HISTORY}, signal)),
        ]);
        const full = s ? s.sender : name;

        messages = queue.items;
        events = seen.items.filter((e) => e.sender === full).reverse();
        audit = done.items.filter((a) => a.target === full);
    }

    async function forget() {
        const n = s.remembered || 0;
        const ok = await app.confirm({
            title: `Forget the known recipients of ${plain(name)}?`,
            text: `${count(n, "address", "addresses")} that this sender ` +
                "wrote to, that wrote to it, or that were imported " +
                "become strangers again. Its most recent recipients stay " +
                "known. This cannot be undone.",
            yes: `Forget ${number(n)}`, danger: true, hasNoReason: true});

        if (!ok)
            return;
        try {
            const done = await post(senderPath(name) + "/forget");
            app.toast(`Forgot ${count(done.addresses, "address",
                "addresses")}.`);
        } catch (e) {
            app.toast(plain(e.message, 300), {bad: true});
        }
        app.refresh();
    }

    function acts() {
        if (!app.can("operate"))
            return null;
        const n = s ? number(s.queue_length) : "all";

        return h("div", {class: "acts"},
            reasonField((text) => { reason = text; }),
            s && s.frozen ? [
                button("Thaw", () => thaw(app, name, reason),
                    {kind: "main"}),
                s.queue_length > 0 && [
                    button(`Thaw and release ${n}`, () => thawAnd(app, name,
                        "release", reason)),
                    button(`Thaw and discard ${n}`, () => thawAnd(app, name,
                        "discard", reason), {kind: "danger"}),
                ],
            ] : button("Freeze", () => freeze(app, name, reason),
                {kind: "main"}),
            (messages.length > 0 || (s && s.queue_length > 0)) && [
                button(`Release ${n}`, () => bulk(app, "release",
                    {sender: name}, reason)),
                button(`Discard ${n}`, () => bulk(app, "discard",
                    {sender: name}, reason), {kind: "danger"}),
            ],
            // It is of no domain's administrator.
            !app.session.domain && s && s.remembered > 0 &&
                button("Forget known recipients", forget));
    }

    function waiting() {
        const columns = app.is_net ? [
            {name: "To", cell: (m) => strange(m.recipients[0].address)},
            {name: "Protocol", cell: (m) => strange(m.subject)},
            {name: "State", cell: (m) => m.recipients[0].state},
            {name: "Since", cell: (m) => ago(m.queued_at)},
        ] : [
            {name: "Subject", cell: (m) => h("a", {href:
                messageHash(m)}, subject(m.subject))},
            {name: "From", a: true, cell: (m) => strange(m.from || "<>",
                {max: 100})},
            {name: "Client", k: true, cell: (m) => strange(m.client)},
            {name: "Recipients", a: true, cell: (m) => [strange(
                (m.recipients[0] || {}).address, {max: 80}),
            m.recipients.length > 1
                ? ` and ${number(m.recipients.length - 1)} more` : ""]},
            {name: "Since", k: true, cell: (m) => ago(m.queued_at)},
            {name: "Expected release", cell: (m) => {
                const r = m.recipients[0] || {};
                return r.expected ? ago(r.expected)
                    : plain(r.waits || r.state || "–");
            }},
        ];

        return table("First in the queue", columns, messages,
            {key: messageKey, empty: "Nothing is waiting."});
    }

    function draw() {
        if (gone && messages.length === 0)
            return h("div", {}, h("p", {}, strange(gone)), acts());
        if (!s && messages.length === 0)
            return h("p", {}, "Loading …");
        const near = s && nearness(s) >= 0.8;

        return h("div", {},
            s && h("p", {class: "headline"}, state({...s, near}), " ",
                since(s)),
            acts(),
            s && h("section", {}, h("h2", {}, "Limits"),
                h("div", {class: "gauges"}, gaugesOf(s).map(gauge),
                    leftOf(s).map(gauge)),
                facts([
                    ["Policy", strange(s.policy)],
                    ["Last seen", time(s.last_seen)],
                    ["Recent recipients", s.working_set_max
                        ? `${number(s.working_set)} of ` +
                          number(s.working_set_max)
                        : number(s.working_set)],
                    s.passed_new !== undefined && ["New recipients passed",
                        number(s.passed_new)],
                    s.remembered > 0 && ["Familiar addresses", number(s.remembered) +
                        (s.remembered_imported > 0 ? ", " +
                            `${number(s.remembered_imported)} of them ` +
                            "imported" : "")],
                    s.inbound_max > 0 && ["Learned from incoming mail",
                        `${number(s.inbound)} of ${number(s.inbound_max)}`],
                    app.is_net && ["Proven", s.proven
                        ? "yes, by its own packets"
                        : "not yet"],
                    app.is_net && ["Waiting, TCP", number(s.waiting_tcp)],
                    app.is_net && ["Waiting, UDP", number(s.waiting_udp)],
                    s.never_freeze && ["Never frozen",
                        "yes (never_freeze)"],
                    s.last_reverse_path_held && ["Held for its reverse path",
                        strange(s.last_reverse_path_held)],
                    s.mta_held > 0 && ["On hold in the mail server",
                        number(s.mta_held)],
                    ...(s.relays || []).map((r) => [h("span", {}, "Waiting at ",
                        strange(r.relay)), number(r.queue_length)]),
                ])),
            h("section", {}, h("h2", {}, "Waiting"), waiting()),
            h("section", {}, h("h2", {}, "History"),
                table("Events", [
                    {name: "When", cell: (e) => time(e.at)},
                    {name: "Event", k: true, cell: (e) => e.type},
                    {name: "Detail", cell: (e) => strange(e.detail)},
                    {name: "Count", n: true, cell: (e) => number(e.count)},
                ], events.slice(0, 50), {key: (e) => e.id + e.type + e.first,
                    empty: "No events in memory."}),
                audit.length > 0 && table("Actions of administrators", [
                    {name: "When", cell: (a) => time(a.at)},
                    {name: "Who", cell: (a) => strange(a.who)},
                    {name: "Action", k: true, cell: (a) => plain(a.action)},
                    {name: "Detail", cell: (a) => strange(a.detail)},
                ], audit.slice(0, 50), {})));
    }

    return {title: plain(name, 80), refresh, draw, every: 5000, away,
        onEvent: (type, row) => row.sender === (s ? s.sender : name)};
}
