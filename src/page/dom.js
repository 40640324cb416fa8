// SPDX-License-Identifier: BSD-3-Clause
// What is on the screen, made from a description of it: h() describes an
// element, render() changes what differs and leaves the rest, so that focus,
// selection and scrolling stay where they are. Text is always a text node:
// nothing here turns a string into markup.

const SVG = "http://www.w3.org/2000/svg";
// What the user changes, and what an attribute therefore no longer says.
const PROPERTIES = new Set(["value", "checked", "indeterminate", "disabled",
    "selected"]);

function push(out, kid) {
    if (Array.isArray(kid))
        kid.forEach((k) => push(out, k));
    else if (kid === null || kid === undefined || kid === false ||
             kid === true)
        out.push({text: ""}); // keeps the places of those behind it
    else if (typeof kid === "object")
        out.push(kid);
    else
        out.push({text: String(kid)});
}

// props: attributes, on... handlers, key (its name among its siblings), and
// once(element), called when the element has been put in place.
export function h(tag, props, ...kids) {
    const out = [];

    push(out, kids);
    return {tag, props: props || {}, kids: out,
        key: props ? props.key : undefined};
}

function setProp(el, name, value, was) {
    if (name === "key" || name === "once")
        return;
    if (name.startsWith("on")) {
        el[name] = value || null;
    } else if (PROPERTIES.has(name)) {
        // What was typed meanwhile stays, unless the description changed.
        if (was !== value || name === "checked" || name === "disabled")
            el[name] = value ?? "";
    } else if (was !== value) {
        if (value === null || value === undefined || value === false)
            el.removeAttribute(name);
        else
            el.setAttribute(name, value === true ? "" : value);
    }
}

function create(v, parent) {
    if (v.tag === undefined) {
        v.el = document.createTextNode(v.text);
        return;
    }
    v.el = v.tag === "svg" || parent.namespaceURI === SVG
        ? document.createElementNS(SVG, v.tag)
        : document.createElement(v.tag);
    patchKids(v.el, [], v.kids);
    for (const name in v.props)
        setProp(v.el, name, v.props[name], undefined);
}

function patch(was, v) {
    v.el = was.el;
    if (v.tag === undefined) {
        if (was.text !== v.text)
            v.el.data = v.text;
        return;
    }
    patchKids(v.el, was.kids, v.kids);
    for (const name in was.props) {
        if (!(name in v.props))
            setProp(v.el, name, null, was.props[name]);
    }
    for (const name in v.props)
        setProp(v.el, name, v.props[name], was.props[name]);
}

function patchKids(el, olds, kids) {
    const keyed = new Map(), rest = [], created = [];
    let next = 0;

    for (const was of olds) {
        if (was.key !== undefined)
            keyed.set(was.key, was);
        else
            rest.push(was);
    }
    const gone = new Set(olds);
    for (const v of kids) {
        const was = v.key !== undefined ? keyed.get(v.key) : rest[next++];

        if (was && was.tag === v.tag && gone.delete(was)) {
            patch(was, v);
        } else {
            create(v, el);
            created.push(v);
        }
    }
    for (const was of gone)
        was.el.remove();
    let at = el.firstChild;
    for (const v of kids) {
        if (v.el === at)
            at = at.nextSibling;
        else
            el.insertBefore(v.el, at);
    }
    for (const v of created) {
        if (v.props && v.props.once)
            v.props.once(v.el);
    }
}

const shown = new WeakMap();

export function render(el, ...kids) {
    const now = [];

    push(now, kids);
    if (!shown.has(el))
        el.replaceChildren();
    patchKids(el, shown.get(el) || [], now);
    shown.set(el, now);
}
