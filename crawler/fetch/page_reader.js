// Runs in an isolated world: it shares the document with the page, but none of the page's JavaScript objects, so
// that patched prototypes have no say here. Named elements still shadow properties of `document` and of forms
// (<form id=documentElement>, <input name=outerHTML>), hence the getters taken from the prototypes.
(() => {
  const getter = (prototype, name) => {
    const { get } = Object.getOwnPropertyDescriptor(prototype, name);
    return (object) => get.call(object);
  };
  const method = (prototype, name) => (object, ...args) => prototype[name].apply(object, args);

  const rootOf = getter(Document.prototype, "documentElement");
  const titleOf = getter(Document.prototype, "title");
  const doctypeOf = getter(Document.prototype, "doctype");
  const shadowOf = getter(Element.prototype, "shadowRoot");
  const outerOf = getter(Element.prototype, "outerHTML");
  const nameOf = getter(Element.prototype, "localName");
  const typeOf = getter(Node.prototype, "nodeType");
  const baseOf = getter(Node.prototype, "baseURI");
  const lengthOf = getter(CharacterData.prototype, "length");
  const attribute = method(Element.prototype, "getAttribute");
  const innerOf = method(Element.prototype, "getHTML");
  const clone = method(Node.prototype, "cloneNode");
  const walker = method(Document.prototype, "createTreeWalker");
  const create = method(Document.prototype, "createElement");
  const query = method(Document.prototype, "querySelector");
  const boxOf = method(Element.prototype, "getBoundingClientRect");
  const frameDocument = {
    // Elements may be called <constructor>.
    __proto__: null,
    iframe: getter(HTMLIFrameElement.prototype, "contentDocument"),
    frame: getter(HTMLFrameElement.prototype, "contentDocument"),
  };

  // Relations whose target is a page of its own; `alternate` only where it is HTML (no feeds, no AMP data).
  const leadsToPage = (link) => {
    const relations = (attribute(link, "rel") ?? "").toLowerCase().split(/\s+/);
    if (relations.includes("alternate")) {
      const kind = attribute(link, "type") || "text/html";
      return kind.toLowerCase() === "text/html" && !relations.includes("stylesheet");
    }
    return ["canonical", "next", "prev"].some((name) => relations.includes(name));
  };

  // "Shared declarative refresh steps" of the HTML Standard: seconds, a separator, then perhaps `url=`. A refresh that
  // is still to come is a link.
  const refreshTarget = (content) => {
    const parts =
      /^\s*(?:[0-9]+(?:\.[0-9.]*)?|\.[0-9.]*)\s*[;,\s]\s*(?:url\s*=\s*)?(?:"([^"]*)|'([^']*)|(\S.*))/is.exec(content);
    return parts && (parts[1] || parts[2] || parts[3] || null);
  };

  // The attribute that leads from an element to another page.
  const reference = (element, name) => {
    switch (name) {
      case "a":
        return attribute(element, "href") ?? attribute(element, "xlink:href");
      case "area":
        return attribute(element, "href");
      case "iframe":
      case "frame":
        return attribute(element, "src");
      case "link":
        return leadsToPage(element) ? attribute(element, "href") : null;
      case "meta":
        return /^refresh$/i.test(attribute(element, "http-equiv") ?? "")
          ? refreshTarget(attribute(element, "content") ?? "")
          : null;
      default:
        return null;
    }
  };

  // One walk over the document, its open shadow trees and its same-origin frames, in document order.
  const survey = (limits) => {
    const found = { nodes: 0, chars: 0, links: new Set(), shadows: [] };
    const add = (text, base) => {
      if (found.links.size >= limits.links) return;
      try {
        const url = new URL(text, base);
        if (url.protocol !== "http:" && url.protocol !== "https:") return;
        url.hash = "";
        found.links.add(url.href);
      } catch {
        // Not a URL, so not a link.
      }
    };
    const visit = (root, base) => {
      const nodes = walker(document, root, NodeFilter.SHOW_ALL);
      for (let node = nodes.currentNode; node; node = nodes.nextNode()) {
        if (++found.nodes > limits.nodes || found.chars > limits.chars) return;
        const type = typeOf(node);
        if (type === Node.TEXT_NODE || type === Node.COMMENT_NODE) found.chars += lengthOf(node);
        if (type !== Node.ELEMENT_NODE) continue;
        const name = nameOf(node);
        const text = reference(node, name);
        if (text !== null) add(text, base);
        const shadow = shadowOf(node);
        if (shadow !== null) {
          found.shadows.push(shadow);
          visit(shadow, base);
        }
        const inner = frameDocument[name]?.(node);
        if (inner && rootOf(inner)) visit(rootOf(inner), baseOf(inner));
      }
    };
    const root = rootOf(document);
    if (root) visit(root, baseOf(document));
    return found;
  };

  const serialise = (shadows) => {
    const root = rootOf(document);
    if (root === null) return "";
    const doctype = doctypeOf(document);
    const head = doctype === null ? "" : new XMLSerializer().serializeToString(doctype);
    if (shadows.length === 0) return head + outerOf(root);
    // outerHTML leaves shadow trees out, getHTML brings them but not the element itself.
    const [open] = outerOf(clone(root, false)).split(/(?=<\/[^>]*>$)/);
    const inner = innerOf(root, { serializableShadowRoots: true, shadowRoots: shadows });
    return `${head}${open}${inner}</${nameOf(root)}>`;
  };

  // Resolves when the document was not changed for `quiet` ms, at the latest after `longest` ms.
  const settled = (quiet, longest) =>
    new Promise((resolve) => {
      let timer = setTimeout(done, quiet);
      const end = setTimeout(done, longest);
      const observer = new MutationObserver(() => {
        clearTimeout(timer);
        timer = setTimeout(done, quiet);
      });
      observer.observe(document, { childList: true, characterData: true, subtree: true });
      function done() {
        clearTimeout(timer);
        clearTimeout(end);
        observer.disconnect();
        resolve();
      }
    });

  const snapshot = (limits) => {
    const found = survey(limits);
    const page = { url: location.href, nodes: found.nodes, chars: found.chars, html: null, title: "", links: [] };
    if (found.nodes > limits.nodes || found.chars > limits.chars) return page;
    const html = serialise(found.shadows);
    page.chars = html.length;
    if (html.length > limits.chars) return page;
    page.html = html.toWellFormed();
    page.title = titleOf(document).slice(0, limits.title).toWellFormed();
    page.links = [...found.links];
    return page;
  };

  return {
    // Where scripts are off (by option, or by a sandbox policy of the page) no timer runs in this world either,
    // and nothing changes the document.
    read: (limits, quiet, longest) =>
      matchMedia("(scripting: none)").matches
        ? snapshot(limits)
        : settled(quiet, longest).then(() => snapshot(limits)),

    // Whether the selector's first match is there, and if asked, visible or hidden (Puppeteer's rules). Null if it is
    // no selector.
    matches: (selector, visible, hidden) => {
      let element;
      try {
        element = query(document, selector);
      } catch (error) {
        if (error.name === "SyntaxError") return null;
        throw error;
      }
      if (element === null) return hidden;
      if (!visible && !hidden) return true;
      const { visibility } = getComputedStyle(element);
      const box = boxOf(element);
      const shown = visibility !== "hidden" && visibility !== "collapse" && box.width > 0 && box.height > 0;
      return shown === visible;
    },

    // Adds scripts or styles; resolves to the address of the first that did not load, or null.
    add: async (kind, tags) => {
      for (const { content, url, type, id } of tags) {
        const element = create(document, url && kind === "style" ? "link" : kind);
        if (id) element.id = id;
        if (type) element.type = type;
        if (content) element.textContent = content;
        if (url && kind === "style") element.rel = "stylesheet";
        const arrived = url
          ? new Promise((resolve) => {
              element.onload = () => resolve(true);
              element.onerror = () => resolve(false);
            })
          : true;
        if (url) element[kind === "style" ? "href" : "src"] = url;
        (query(document, "head") ?? rootOf(document)).append(element);
        if (!(await arrived)) return url;
      }
      return null;
    },
  };
})()
