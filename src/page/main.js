// SPDX-License-Identifier: BSD-3-Clause
// The page as a whole: who is logged in, which view is shown, when it asks
// anew, and what is said to the user.
import {call, follow, get, watchConnection} from "./api.js";
import {h, render} from "./dom.js";
import {plain} from "./text.js";
import {button, field, hashOf} from "./ui.js";
import {access} from "./view_access.js";
import {audit, events, graphs, policies, status} from "./view_more.js";
import {held, queue} from "./view_queue.js";
import {sender, senders} from "./view_senders.js";
import {stuck} from "./view_stuck.js";

const RIGHTS = ["view", "operate", "admin"];
const SETTLE_MS = 500; // events come in crowds
const REST = 4;        // how long to leave the daemon alone, in answers' times
const TOASTS = 4;

// [name, text, view, who has no such thing]
const VIEWS = [
    ["stuck", "Stuck", stuck],
    ["senders", "Senders", senders],
    ["queue", "Queue", queue],
    ["events", "Events", events],
    ["graphs", "Graphs", graphs, "domain"],
    ["policies", "Policies", policies, "domain"],
    ["status", "Status", status, "domain"],
    ["audit", "Audit", audit, "domain net"],
    ["access", "Access", access],
];
const MORE = {sender, message: held};

const root = document.getElementById("app");
// The view, and what it asks: by whom, again when that is there, how long the
// last answer took.
let view = null, viewName = "", viewSerial = 0;
let asking = null, again = false, took = 0, timer = null, settle = null;
let isLost = false, endFollow = null, followsAll = false, error = "", login = null;
// What is said beside it.
let toasts = [], bar = null, dialog = null, isDue = false;

const app = {
    session: null, is_net: false, words: {},
    can: (right) => app.session !== null &&
        RIGHTS.indexOf(app.session.right) >= RIGHTS.indexOf(right),
    redraw() {
        if (isDue)
            return;
        isDue = true;
        queueMicrotask(() => { isDue = false; draw(); });
    },
    refresh,
    toast(text, {undo, bad} = {}) {
        const t = {text, undo, bad, key: Symbol("toast")};

        // Not while somebody is about to press its button.
        const end = () => {
            if (t.el && t.el.matches(":hover, :focus-within")) {
                setTimeout(end, 2000);
                return;
            }
            toasts = toasts.filter((x) => x !== t);
            app.redraw();
        };

        toasts = [...toasts, t].slice(-TOASTS);
        setTimeout(end, bad ? 30000 : 15000);
        app.redraw();
    },
    progress(p) {
        bar = p;
        app.redraw();
    },
    // Resolves to {reason}, or to null.
    confirm(question) {
        const from = document.activeElement;

        return new Promise((resolve) => {
            dialog = {...question, reason: question.reason || "",
                end(answer) {
                    dialog = null;
                    draw();
                    // Whoever goes by keys is where he was.
                    if (from && from.isConnected)
                        from.focus();
                    resolve(answer);
                }};
            app.redraw();
        });
    },
};

// ---- what is shown ----

function route() {
    const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
    const [name, ...args] = path.split("/").map((part) => {
        try {
            return decodeURIComponent(part);
        } catch {
            return part;
        }
    });

    return {name: name || "stuck", args,
        params: new URLSearchParams(query || "")};
}

function isMissing(v) {
    return (app.session.domain && (v[3] || "").includes("domain")) ||
        (app.is_net && (v[3] || "").includes("net"));
}

function show() {
    const {name, args, params} = route();
    const known = VIEWS.find((v) => v[0] === name);
    const make = known && !isMissing(known) ? known[2]
        : Object.hasOwn(MORE, name) ? MORE[name] : stuck;

    if (asking)
        asking.abort();
    asking = null;
    clearTimeout(timer);
    viewName = name;
    viewSerial++;
    error = "";
    view = make(app, args, params);
    followEvents(Boolean(view.isAllEvents));
    app.redraw();
    refresh();
}

// A busy relay tells of thousands of messages a second: only a view that lists
// them hears of them.
function followEvents(isAll) {
    if (endFollow && followsAll === isAll)
        return;
    if (endFollow)
        endFollow();
    followsAll = isAll;
    endFollow = follow((app.session.event_types || []).filter((t) => isAll ||
        t !== "message"), onEvent, () => refresh());
}

async function refresh() {
    const mine = view;

    if (!mine || !app.session)
        return;
    if (asking) { // once more when the answer is there
        again = true;
        return;
    }
    clearTimeout(timer);
    const stop = new AbortController(), began = Date.now();
    asking = stop;
    try {
        await mine.refresh(stop.signal);
        if (view === mine)
            error = "";
    } catch (e) {
        if (e.name === "AbortError" || view !== mine)
            return;
        error = e.status === 0 ? "" : plain(e.message, 500);
    } finally {
        if (asking === stop)
            asking = null;
    }
    if (view !== mine)
        return;
    took = Date.now() - began;
    app.redraw();
    if (again) {
        again = false;
        timer = setTimeout(refresh, Math.max(SETTLE_MS, took * REST));
    } else {
        timer = setTimeout(refresh, document.hidden ? 60000
            : isLost ? 2000 : mine.every || 30000);
    }
}

function onEvent(type, row) {
    if (!view || !view.onEvent || !view.onEvent(type, row) || settle)
        return;
    settle = setTimeout(() => { settle = null; refresh(); },
        Math.max(SETTLE_MS, took * REST));
}

// ---- login ----

function logout(why) {
    app.session = null;
    view = null;
    if (endFollow)
        endFollow();
    endFollow = null;
    clearTimeout(timer);
    login = {why: why || ""};
    app.redraw();
}

function begin(session) {
    app.session = session;
    app.is_net = session.daemon === "weir-netd";
    app.words = app.is_net
        ? {sender: "host", message: "packet", recipient: "packet"}
        : {sender: "sender", message: "message", recipient: "recipient"};
    login = null;
    show();
}

async function enter(body) {
    try {
        begin(await call("POST", "session", {body}));
    } catch (e) {
        logout(plain(e.message, 300));
    }
}

async function start() {
    const given = /^#token=([\w.-]+)$/.exec(location.hash);

    // It is in no history and in nobody's sight from here on.
    if (given) {
        history.replaceState(null, "", location.pathname + location.search);
        await enter({token: given[1]});
        return;
    }
    try {
        begin(await get("session"));
    } catch (e) {
        if (e.status === 401)
            logout("");
        else
            setTimeout(start, 2000);
    }
}

function drawLogin() {
    const form = {};
    const submit = (e) => {
        e.preventDefault();
        enter(form.token ? {token: form.token.trim()}
            : {name: form.name || "", password: form.password || ""});
        e.target.reset();
    };

    return h("main", {class: "login", id: "main"},
        h("h1", {}, "weir"),
        login.why && h("p", {class: "error", role: "alert"}, login.why),
        h("form", {onsubmit: submit},
            field("Name", {name: "name", autocomplete: "username",
                once: (el) => el.focus(),
                oninput: (e) => { form.name = e.target.value; }}),
            field("Password", {type: "password", name: "password",
                autocomplete: "current-password",
                oninput: (e) => { form.password = e.target.value; }}),
            h("p", {}, "or"),
            field("Token", {type: "password", name: "token",
                autocomplete: "off",
                oninput: (e) => { form.token = e.target.value; }}),
            h("button", {type: "submit", class: "main"}, "Log in")),
        h("p", {class: "dim"}, "To create a token: ", h("code", {},
            "weirctl token new NAME")));
}

// ---- drawing ----

function drawDialog() {
    const d = dialog;
    const reason = d.reason;

    return h("dialog", {key: "dialog", "aria-labelledby": "dialog-title",
        once: (el) => el.showModal(),
        oncancel: () => d.end(null)},
    h("form", {onsubmit: (e) => {
        e.preventDefault();
        d.end({reason: d.reason});
    }},
    h("h2", {id: "dialog-title"}, d.title),
    h("p", {}, d.text),
    !d.hasNoReason && h("label", {class: "reason"},
        h("span", {}, "Reason (optional)"),
        h("input", {type: "text", maxlength: 200, autocomplete: "off",
            value: reason, oninput: (e) => { d.reason = e.target.value; }})),
    h("div", {class: "acts"},
        h("button", {type: "submit", class: d.danger ? "danger" : "main"},
            d.yes),
        button("Cancel", () => d.end(null)))));
}

const drawToasts = () => h("div", {class: "toasts", role: "status",
    "aria-live": "polite"}, toasts.map((t) => h("div", {key: t.key,
    once: (el) => { t.el = el; },
    class: t.bad ? "toast bad" : "toast"}, h("span", {}, t.text),
t.undo && button("Undo", () => {
    toasts = toasts.filter((x) => x !== t);
    app.redraw();
    t.undo();
}), button("×", () => {
    toasts = toasts.filter((x) => x !== t);
    app.redraw();
}, {kind: "quiet", label: "Dismiss"}))));

function drawBar() {
    return h("div", {class: "toast"}, h("label", {}, h("span", {}, bar.text),
        h("progress", bar.max ? {value: bar.value, max: bar.max} : {})),
    bar.stop && button("Stop", bar.stop));
}

function draw() {
    if (login) {
        document.title = "weir: log in";
        render(root, drawLogin());
        return;
    }
    if (!app.session || !view)
        return;
    document.title = `${view.alarm && view.alarm() ? `(${view.alarm()}) ` : ""
    }${view.title} – weir`;
    render(root,
        h("a", {class: "skip", href: "#main", onclick: (e) => {
            e.preventDefault();
            document.getElementById("main").focus();
        }}, "Skip to content"),
        h("header", {}, h("nav", {"aria-label": "Views"},
            VIEWS.filter((v) => !isMissing(v)).map(([name, text]) =>
                h("a", {href: hashOf(name), "aria-current":
                    name === viewName ? "page" : null}, text))),
        h("p", {class: "who"}, `${plain(app.session.name, 40)} (` +
            `${app.session.right}${app.session.domain
                ? ", " + plain(app.session.domain, 60) : ""}) `,
        app.session.kind === "session" && button("Log out", async () => {
            try {
                await call("DELETE", "session");
                logout("");
            } catch (e) {
                app.toast(plain(e.message, 300), {bad: true});
            }
        }, {kind: "quiet"}))),
        isLost && h("p", {class: "lost", role: "alert"},
            "No connection to the daemon. The data shown may be out of date. " +
            "Reconnecting …"),
        h("main", {id: "main", tabindex: "-1", key: viewSerial,
            once: (el) => viewSerial > 1 && el.focus()},
            h("h1", {}, view.title),
            error && h("p", {class: "error", role: "alert"}, error),
            view.draw()),
        bar ? h("div", {class: "toasts", key: "bar"}, drawBar()) : "",
        drawToasts(),
        dialog && drawDialog());
}

watchConnection(
    () => {
        if (!isLost) {
            isLost = true;
            app.redraw();
        }
    },
    () => {
        if (isLost) {
            isLost = false;
            app.redraw();
            refresh();
        }
    },
    () => {
        if (app.session)
            logout("The session has ended. Log in again.");
    });
addEventListener("hashchange", () => {
    if (/^#token=/.test(location.hash))
        start();
    else if (app.session)
        show();
});
addEventListener("visibilitychange", () => {
    if (!document.hidden)
        refresh();
});
// Times that are told as "5 min ago" go on.
setInterval(() => document.hidden || app.redraw(), 15000);
start();
