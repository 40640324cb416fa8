// SPDX-License-Identifier: BSD-3-Clause
// Access: the current login, and for an administrator of all domains the tokens
// and users.
import {call, get, post} from "./api.js";
import {h} from "./dom.js";
import {ago, plain, strange, time} from "./text.js";
import {button, choice, facts, field, table} from "./ui.js";

const RIGHTS = [["view", "view: look only"],
    ["operate", "operate: change, read mail"],
    ["admin", "admin: everything"]];
const TERMS = [["1d", "1 day"], ["30d", "30 days"], ["90d", "90 days"],
    ["365d", "1 year"], ["", "never"]];
const NAME = {required: true, maxlength: 64, pattern: "[A-Za-z0-9_.@+\\-]+",
    title: "letters, digits and - _ . @ +"};
const KINDS = {token: "a token", session: "a login in this browser",
    peer: "a local user, over the Unix socket"};

export function access(app) {
    const mayChange = app.can("admin") && !app.session.domain;
    let tokens = null, users = [];
    let token = newToken(), user = newUser();
    let secret = null; // {name, token}: shown until it is put away
    let wrong = {};    // what was wrong with a form, by its name
    let serial = 0;    // of forms: one that was used is made anew

    function newToken() {
        return {name: "", right: "view", expires: "90d", domain: "",
            networks: ""};
    }

    function newUser() {
        return {name: "", password: "", right: "view", domain: ""};
    }

    async function refresh(signal) {
        if (!mayChange)
            return;
        [tokens, users] = await Promise.all(["tokens", "users"].map((what) =>
            get(what, {}, signal).then((list) => list.items)));
    }

    async function attempt(name, work) {
        try {
            return await work() || {};
        } catch (e) {
            wrong = {[name]: e.message};
            return null;
        } finally {
            app.refresh();
            app.redraw();
        }
    }

    async function makeToken(e) {
        const order = {name: token.name.trim(), right: token.right};
        const networks = token.networks.split(/[\s,]+/).filter(Boolean);

        e.preventDefault();
        wrong = {};
        if (token.expires)
            order.expires = token.expires;
        if (token.domain.trim())
            order.domain = token.domain.trim();
        if (networks.length > 0)
            order.networks = networks;
        const made = await attempt("token", () => post("tokens", order));
        if (!made)
            return;
        secret = {name: made.name, token: made.token};
        token = newToken();
        serial++;
        app.redraw();
    }

    async function revoke(t) {
        const ok = await app.confirm({
            title: `Revoke the token ${plain(t.name)}?`,
            text: "Programs that use it, and browsers that logged in with " +
                "it, are locked out at once. This cannot be undone.",
            yes: "Revoke", danger: true, hasNoReason: true});

        if (ok && await attempt("tokens", () => call("DELETE",
            "tokens/" + encodeURIComponent(t.id))))
            app.toast(`The token ${plain(t.name)} has been revoked.`);
    }

    async function setUser(e) {
        const order = {name: user.name.trim(), password: user.password,
            right: user.right};
        const isThere = users.some((u) => u.name === order.name);

        e.preventDefault();
        wrong = {};
        if (user.domain.trim())
            order.domain = user.domain.trim();
        const ok = !isThere || await app.confirm({
            title: `Replace the user ${plain(order.name)}?`,
            text: "A user with this name exists. Its password, right and " +
                "domain are replaced, and the user must log in again.",
            yes: "Replace", danger: true, hasNoReason: true});
        if (!ok || !await attempt("user", () => post("users", order)))
            return;
        app.toast(isThere ? `The user ${plain(order.name)} has been replaced.`
            : `The user ${plain(order.name)} can now log in.`);
        user = newUser();
        serial++;
        app.redraw();
    }

    async function remove(u) {
        const ok = await app.confirm({
            title: `Remove the user ${plain(u.name)}?`,
            text: "The user is logged out at once and cannot log in again. " +
                "This cannot be undone.",
            yes: "Remove", danger: true, hasNoReason: true});

        if (ok && await attempt("users", () => call("DELETE",
            "users/" + encodeURIComponent(u.name))))
            app.toast(`The user ${plain(u.name)} has been removed.`);
    }

    async function copy(input, text) {
        try {
            await navigator.clipboard.writeText(text);
            app.toast("Copied.");
        } catch { // not over plain HTTP from elsewhere
            input.focus();
            input.select();
            app.toast("Selected. Copy it with the keyboard.");
        }
    }

    // ---- drawing ----

    const error = (name) => wrong[name] && h("p", {class: "error",
        role: "alert"}, strange(wrong[name]));

    // What is typed goes into the form's object.
    const text = (form, name, label, props) => field(label, {...props,
        oninput: (e) => { form()[name] = e.target.value; }});
    const pick = (form, name, label, options) => choice(label, form()[name],
        options, (e) => { form()[name] = e.target.value; });

    function secretCard() {
        const address = location.origin + location.pathname + "#token=" +
            secret.token;
        const line = (label, value) => h("div", {class: "acts"},
            h("label", {class: "secret"}, h("span", {}, label),
                h("input", {type: "text", readonly: true, value,
                    spellcheck: "false", autocomplete: "off",
                    onfocus: (e) => e.target.select()})),
            button("Copy", (e) => copy(e.target.closest(".acts")
                .querySelector("input"), value), {label: `Copy: ${label}`}));

        return h("section", {key: secret.token, class: "card warn",
            tabindex: "-1", "aria-label": "The new token",
            once: (el) => el.focus()},
        h("h3", {}, "The token ", strange(secret.name)),
        h("p", {}, "It is shown only once. Anyone who has it can do what its " +
            "right allows."),
        line("Token", secret.token),
        line("Login link for a browser", address),
        h("div", {class: "acts"}, button("Hide it", () => {
            secret = null;
            app.redraw();
        }, {kind: "main"})));
    }

    function tokenSection() {
        return h("section", {}, h("h2", {}, "Tokens"),
            secret && secretCard(),
            table("For browsers, scripts and Prometheus", [
                {name: "Name", cell: (t) => strange(t.name)},
                {name: "Right", k: true, cell: (t) => plain(t.right)},
                {name: "Domain", cell: (t) => strange(t.domain || "all")},
                {name: "From", cell: (t) => t.networks.length > 0
                    ? strange(t.networks.join(", ")) : "anywhere"},
                {name: "Created", cell: (t) => time(t.created)},
                {name: "Expires", cell: (t) => ago(t.expires, "never")},
                {name: "Last used", cell: (t) => ago(t.last_used, "never")},
                {name: "Action", cell: (t) => button("Revoke",
                    () => revoke(t), {kind: "danger",
                        label: `Revoke ${plain(t.name)} ${t.id}`})},
            ], tokens, {key: (t) => t.id, empty: "There are no tokens."}),
            error("tokens"),
            h("form", {key: `token${serial}`, class: "make",
                "aria-label": "New token", onsubmit: makeToken},
            h("h3", {}, "New token"),
            h("div", {class: "filters"},
                text(() => token, "name", "Name of the token", NAME),
                pick(() => token, "right", "Right of the token", RIGHTS),
                pick(() => token, "expires", "Expires", TERMS),
                text(() => token, "domain", "Only this domain (optional)",
                    {maxlength: 253, placeholder: "example.org"}),
                text(() => token, "networks", "Only from networks (optional)",
                    {placeholder: "192.0.2.0/24 2001:db8::/32"}),
                h("button", {type: "submit", class: "main"}, "Create token")),
            error("token")));
    }

    function userSection() {
        return h("section", {}, h("h2", {}, "Users"),
            table("For people who log in with a password", [
                {name: "Name", cell: (u) => strange(u.name)},
                {name: "Right", k: true, cell: (u) => plain(u.right)},
                {name: "Domain", cell: (u) => strange(u.domain || "all")},
                {name: "Created", cell: (u) => time(u.created)},
                {name: "Action", cell: (u) => button("Remove",
                    () => remove(u), {kind: "danger",
                        label: `Remove ${plain(u.name)}`})},
            ], users, {key: (u) => u.name, empty: "There are no users. A " +
                "token is enough to log in."}),
            error("users"),
            h("form", {key: `user${serial}`, class: "make",
                "aria-label": "New user or password", onsubmit: setUser},
            h("h3", {}, "New user, or a new password"),
            h("div", {class: "filters"},
                text(() => user, "name", "Name of the user", {...NAME,
                    autocomplete: "off"}),
                text(() => user, "password", "Password (at least 8 characters)",
                    {type: "password", required: true, minlength: 8,
                        autocomplete: "new-password"}),
                pick(() => user, "right", "Right of the user", RIGHTS),
                text(() => user, "domain", "Only the user's domain (optional)",
                    {maxlength: 253, placeholder: "example.org"}),
                h("button", {type: "submit", class: "main"}, "Save user")),
            error("user")));
    }

    function draw() {
        const s = app.session;

        return h("div", {},
            h("section", {}, h("h2", {}, "This login"), facts([
                ["Name", strange(s.name)],
                ["Right", plain(s.right)],
                ["Senders of", s.domain ? strange(s.domain)
                    : "all domains"],
                ["Logged in with", KINDS[s.kind] || plain(s.kind)],
                ["Expires", s.expires ? [time(s.expires), " (", ago(s.expires),
                    ")"] : "never"],
            ])),
            !mayChange ? h("p", {class: "dim"}, "Tokens and users are shown " +
                "only to administrators of all domains (right admin).")
                : !tokens ? h("p", {}, "Loading …")
                    : [tokenSection(), userSection()]);
    }

    return {title: "Access", refresh, draw, every: 10000};
}
