'use strict';
// Draws a scene (see html.rs for its shape) on a canvas: only what the window shows, so that long histories stay quick.
(() => {
  const scene = JSON.parse(document.getElementById('data').textContent);
  const element = (id) => document.getElementById(id);
  const stage = element('stage');
  const overview = element('overview');
  const tip = element('tip');
  const LEFT = 54;
  const RIGHT = 18;
  const TOP = 30;
  const BAR = 8;
  const MIN_SPAN = 200; // microseconds
  const LAST = scene.end + Math.max(20_000, scene.end / 100);
  const FONT = "11px ui-sans-serif, system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif";

  const [SENT, END] = [2, 3]; // of an arrow: [from, to, sent, end, arrived, group, text]
  const seconds = (us) => (us / 1e6).toFixed(6);
  const text = (number) => scene.texts[number];
  const colours = {};
  const readColours = () => {
    const style = getComputedStyle(document.documentElement);
    const names = ['paper', 'band', 'ink', 'soft', 'rule', 'panel', 'leader', 'candidate', 'follower', 'on-role', 'down', 'fault', 'violation', 'calm', 'mark', 'snapshot', 'member'];
    for (const name of [...names, ...scene.groups]) colours[name] = style.getPropertyValue(`--${name}`).trim();
  };

  const view = { from: scene.window[0], to: scene.window[1] };
  const shown = { groups: scene.groups.map(() => true), marks: true, faults: true };
  let wanted = '';
  let hits = []; // what can be pointed at: { x, y, x2, y2, tip } in canvas pixels

  // Arrows are sorted by when they were sent; the longest flight bounds how far back one may reach into the window.
  scene.arrows.sort((a, b) => a[SENT] - b[SENT]);
  scene.marks.sort((a, b) => a[1] - b[1]);
  const longest = scene.arrows.reduce((most, arrow) => Math.max(most, arrow[END] - arrow[SENT]), 0);
  const firstAt = (rows, column, least) => {
    let [low, high] = [0, rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle][column] < least) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  const sized = (canvas) => {
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = canvas.getBoundingClientRect();
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext('2d');
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = FONT;
    return { context, width, height };
  };
  const niceStep = (least) => {
    for (let power = 1; ; power *= 10) for (const times of [1, 2, 5]) if (power * times >= least) return power * times;
  };

  function draw() {
    const { context: c, width, height } = sized(stage);
    const lane = Math.max(56, (height - TOP - 4) / scene.members.length);
    const x = (us) => LEFT + ((us - view.from) / (view.to - view.from)) * (width - LEFT - RIGHT);
    const y = (node) => TOP + lane * (node + 0.5);
    const perPixel = (view.to - view.from) / (width - LEFT - RIGHT);
    hits = [];
    c.fillStyle = colours.paper;
    c.fillRect(0, 0, width, height);
    lanes(c, { x, y, lane, width, height, perPixel });
    c.save();
    c.beginPath();
    c.rect(LEFT, 0, width - LEFT - RIGHT + 8, height);
    c.clip();
    const labels = shown.faults ? faults(c, { x, y, lane, width }) : [];
    arrows(c, { x, y, perPixel });
    for (const [label, at, top] of labels) {
      c.strokeStyle = colours.paper;
      c.lineWidth = 3;
      c.lineJoin = 'round';
      c.strokeText(label, at, top);
      c.fillStyle = colours.fault;
      c.fillText(label, at, top);
    }
    bars(c, { x, y });
    if (shown.marks) marks(c, { x, y, lane, perPixel });
    for (const [at, what] of scene.violations) {
      if (at < view.from || at > view.to) continue;
      c.fillStyle = colours.violation;
      c.fillRect(x(at) - 1, 0, 2, height);
      c.fillText('violation', x(at) - 52, 11);
      hits.push({ x: x(at), y: 0, x2: x(at), y2: height, when: seconds(at), what });
    }
    c.restore();
    drawOverview();
    element('from').value = seconds(view.from).slice(0, -3);
    element('to').value = seconds(view.to).slice(0, -3);
  }

  function lanes(c, { x, y, lane, width, height, perPixel }) {
    scene.members.forEach((name, node) => {
      if (node % 2 === 0) {
        c.fillStyle = colours.band;
        c.fillRect(0, y(node) - lane / 2, width, lane);
      }
      c.fillStyle = colours.rule;
      c.fillRect(LEFT, y(node), width - LEFT - RIGHT, 1);
      c.fillStyle = colours.ink;
      c.font = `700 17px ${FONT.slice(5)}`;
      c.fillText(name, 20, y(node) + 6);
      c.font = FONT;
    });
    const step = niceStep(perPixel * 90);
    const places = Math.max(1, 6 - Math.floor(Math.log10(step)));
    for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) {
      c.fillStyle = colours.rule;
      c.fillRect(x(at), TOP - 6, 1, height - TOP);
      c.fillStyle = colours.soft;
      const label = `${(at / 1e6).toFixed(places)} s`;
      c.fillText(label, x(at) - c.measureText(label).width / 2, TOP - 12);
    }
    if (scene.calm !== null && scene.calm >= view.from && scene.calm <= view.to) {
      c.strokeStyle = colours.calm;
      c.setLineDash([5, 4]);
      c.beginPath();
      c.moveTo(x(scene.calm), TOP - 6);
      c.lineTo(x(scene.calm), height);
      c.stroke();
      c.setLineDash([]);
      c.fillStyle = colours.calm;
      const room = x(scene.calm) + 90 < width;
      c.fillText('the faults stop', x(scene.calm) + (room ? 4 : -84), height - 6);
    }
  }

  function faults(c, { x, y, lane, width }) {
    const taken = scene.members.map(() => [0, 0, 0]);
    const labels = []; // to be written over the arrows
    for (const [node, from, to, name] of scene.faults) {
      if (to < view.from || from > view.to) continue;
      const [left, right] = [x(Math.max(from, view.from)), Math.max(x(Math.min(to, view.to)), x(from) + 3)];
      const top = y(node) - lane / 2 + 2;
      c.globalAlpha = 0.14;
      c.fillStyle = colours.fault;
      c.fillRect(left, top, right - left, lane - 4);
      c.globalAlpha = 0.8;
      if (from >= view.from) c.fillRect(x(from), top, 1.2, lane - 4);
      c.globalAlpha = 1;
      const label = text(name).split(' (fault')[0];
      const length = c.measureText(label).width;
      const at = Math.max(LEFT + 4, Math.min(left + 4, width - RIGHT - length));
      const row = taken[node].findIndex((end) => end < at);
      if (row >= 0 && 12 * (row + 1) < lane / 2 - BAR) {
        taken[node][row] = at + length + 4;
        labels.push([label, at, top + 10 + 12 * row]);
      }
      hits.push({ x: left, y: top, x2: right, y2: top + lane - 4, area: true, when: `${seconds(from)} to ${seconds(to)} s`, what: text(name) });
    }
    return labels;
  }

  function arrows(c, { x, y, perPixel }) {
    const seen = [];
    for (let at = firstAt(scene.arrows, SENT, view.from - longest); at < scene.arrows.length; at += 1) {
      const arrow = scene.arrows[at];
      if (arrow[SENT] > view.to) break;
      if (arrow[END] >= view.from && shown.groups[arrow[5]]) seen.push(arrow);
    }
    const beat = scene.groups.indexOf('heartbeat');
    const dense = seen.length > 6_000;
    // Heartbeats lie under everything else that moves.
    for (const beats of [true, false]) {
      for (const arrow of seen) if ((arrow[5] === beat) === beats) drawArrow(c, arrow, { x, y, dense, heads: perPixel < 4_000 });
    }
  }

  function drawArrow(c, [from, to, sent, end, arrived, group, words], { x, y, dense, heads }) {
    const name = scene.groups[group];
    const matches = wanted !== '' && text(words).toLowerCase().includes(wanted);
    const down = to > from ? 1 : -1;
    const [left, top] = [x(sent), y(from) + down * BAR];
    let [right, bottom] = [x(end), y(to) - down * BAR];
    if (!arrived) [right, bottom] = [left + Math.min(right - left, 14), top + down * Math.min(26, Math.abs(bottom - top) / 2)];
    c.strokeStyle = colours[name];
    c.globalAlpha = wanted !== '' ? (matches ? 1 : 0.12) : name === 'heartbeat' ? 0.45 : dense ? 0.6 : 0.95;
    c.lineWidth = matches ? 2.4 : ['vote', 'snapshot', 'repair', 'member'].includes(name) ? 1.8 : name === 'heartbeat' ? 0.8 : 1.2;
    if (!arrived) c.setLineDash([4, 3]);
    c.beginPath();
    c.moveTo(left, top);
    c.lineTo(right, bottom);
    c.stroke();
    c.setLineDash([]);
    if (heads || matches) {
      const length = Math.hypot(right - left, bottom - top) || 1;
      const [along, across] = [(right - left) / length, (bottom - top) / length];
      c.beginPath();
      if (arrived) {
        const [backX, backY] = [right - 6 * along, bottom - 6 * across];
        c.moveTo(backX - 3 * across, backY + 3 * along);
        c.lineTo(right, bottom);
        c.lineTo(backX + 3 * across, backY - 3 * along);
      } else {
        c.moveTo(right - 3, bottom - 3);
        c.lineTo(right + 3, bottom + 3);
        c.moveTo(right + 3, bottom - 3);
        c.lineTo(right - 3, bottom + 3);
      }
      c.stroke();
    }
    c.globalAlpha = 1;
    const lost = arrived ? '' : ', lost';
    hits.push({
      x: left, y: top, x2: right, y2: bottom, line: true,
      when: `${scene.members[from]} to ${scene.members[to]}, ${seconds(sent)} to ${seconds(end)} s${lost}`,
      what: text(words),
    });
  }

  function bars(c, { x, y }) {
    // A stripe for each group.
    const stripe = (2 * BAR) / scene.raftGroups;
    for (const [node, from, to, role, term, group] of scene.bars) {
      if (to < view.from || from > view.to) continue;
      const left = Math.max(x(from), LEFT);
      const right = x(Math.min(to, view.to));
      c.fillStyle = colours[role];
      c.beginPath();
      const top = y(node) - BAR + stripe * group;
      c.roundRect(left, top, Math.max(1, right - left - 0.5), stripe, Math.min(3, stripe / 2));
      c.fill();
      const words = role === 'down' ? ['down', ''] : [`${role}, term ${term}`, `${term}`];
      const label = scene.raftGroups === 1 && words.find((one) => c.measureText(one).width <= right - left - 8);
      if (label) {
        c.fillStyle = role === 'down' ? colours.soft : colours['on-role'];
        c.fillText(label, left + 5, y(node) + 4);
      }
      const of = scene.raftGroups > 1 ? ` of group ${group}` : '';
      hits.push({ x: left, y: top, x2: right, y2: top + stripe, area: true, when: `${seconds(from)} to ${seconds(to)} s`, what: `${scene.members[node]} is ${words[0]}${of}` });
    }
  }

  function marks(c, { x, y, lane, perPixel }) {
    const minor = new Set(['write', 'asked', 'ended']);
    const below = (name) => BAR + (minor.has(name) ? 8 : name === 'snapshot' || name === 'members' ? Math.min(36, lane / 2 - BAR - 5) : 22);
    for (let at = firstAt(scene.marks, 1, view.from); at < scene.marks.length; at += 1) {
      const [node, when, kind, words] = scene.marks[at];
      if (when > view.to) break;
      const name = scene.markKinds[kind];
      // From afar only what is rare.
      if (minor.has(name) && perPixel > 3_000) continue;
      const matches = wanted !== '' && text(words).toLowerCase().includes(wanted);
      const [left, top] = [x(when), y(node) + below(name)];
      c.globalAlpha = wanted !== '' && !matches ? 0.15 : 1;
      glyph(c, name, left, top, matches);
      c.globalAlpha = 1;
      hits.push({ x: left - 4, y: top - 5, x2: left + 4, y2: top + 5, area: true, small: true, when: `${seconds(when)} s`, what: text(words) });
    }
  }

  function glyph(c, name, x, y, strong) {
    const colour = { snapshot: 'snapshot', members: 'member', start: 'leader', damage: 'fault', failed: 'fault' }[name] ?? 'mark';
    const paths = {
      write: [[0, -4], [0, 4]],
      asked: [[-3, -3], [3, -3], [0, 3], [-3, -3]],
      ended: [[-3, 3], [3, 3], [0, -3], [-3, 3]],
      snapshot: [[0, -5], [5, 0], [0, 5], [-5, 0]],
      members: [[-4, -4], [4, -4], [4, 4], [-4, 4]],
      start: [[-4, -4], [4, 0], [-4, 4]],
    };
    c.strokeStyle = colours[colour];
    c.fillStyle = colours[colour];
    c.lineWidth = strong ? 2.5 : 1.2;
    c.beginPath();
    const points = paths[name];
    if (points === undefined) {
      for (const [from, to] of [[[-4, -4], [4, 4]], [[4, -4], [-4, 4]]]) {
        c.moveTo(x + from[0], y + from[1]);
        c.lineTo(x + to[0], y + to[1]);
      }
    } else points.forEach(([dx, dy], at) => (at === 0 ? c.moveTo(x + dx, y + dy) : c.lineTo(x + dx, y + dy)));
    if (['snapshot', 'members', 'start'].includes(name)) c.fill();
    else c.stroke();
  }

  function drawOverview() {
    const { context: c, width, height } = sized(overview);
    const x = (us) => (us / LAST) * width;
    const lane = (height - 12) / scene.members.length;
    c.fillStyle = colours.band;
    c.fillRect(0, 0, width, height);
    c.fillStyle = colours.fault;
    for (const [node, from, to] of scene.faults) {
      c.globalAlpha = 0.5;
      c.fillRect(x(from), 6 + lane * node, Math.max(1, x(to) - x(from)), lane);
    }
    c.globalAlpha = 1;
    for (const [node, from, to, role, , group] of scene.bars) {
      c.fillStyle = colours[role];
      const stripe = lane / 2 / scene.raftGroups;
      c.fillRect(x(from), 6 + lane * node + lane / 4 + stripe * group, Math.max(0.6, x(to) - x(from)), stripe);
    }
    c.fillStyle = colours.violation;
    for (const [at] of scene.violations) c.fillRect(x(at) - 1, 0, 2, height);
    c.strokeStyle = colours.ink;
    c.lineWidth = 1.5;
    c.globalAlpha = 0.1;
    c.fillStyle = colours.ink;
    c.fillRect(x(view.from), 0, x(view.to) - x(view.from), height);
    c.globalAlpha = 1;
    c.strokeRect(x(view.from), 1, Math.max(3, x(view.to) - x(view.from)), height - 2);
  }

  let planned = false;
  const refresh = () => {
    if (planned) return;
    planned = true;
    requestAnimationFrame(() => {
      planned = false;
      draw();
    });
  };
  const show = (from, to) => {
    const span = Math.min(LAST, Math.max(MIN_SPAN, to - from));
    view.from = Math.min(Math.max(0, from), LAST - span);
    view.to = view.from + span;
    hideTip();
    refresh();
  };
  const zoom = (times, share = 0.5) => {
    const span = view.to - view.from;
    const next = Math.min(LAST, Math.max(MIN_SPAN, span * times));
    const from = view.from + (span - next) * share;
    show(from, from + next);
  };
  const move = (share) => show(view.from + share * (view.to - view.from), view.to + share * (view.to - view.from));
  const centre = (at) => show(at - (view.to - view.from) / 2, at + (view.to - view.from) / 2);
  const shareAt = (event) => {
    const box = stage.getBoundingClientRect();
    return (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
  };

  stage.addEventListener('wheel', (event) => {
    event.preventDefault();
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.shiftKey ? event.deltaY : 0;
    if (sideways !== 0) move(sideways / 1_000);
    else zoom(Math.exp(event.deltaY / 400), Math.min(1, Math.max(0, shareAt(event))));
  }, { passive: false });
  const dragging = (canvas, act) => {
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      canvas.classList.add('dragging');
      act(event, true);
    });
    canvas.addEventListener('pointermove', (event) => {
      if (canvas.classList.contains('dragging')) act(event, false);
    });
    for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, () => canvas.classList.remove('dragging'));
  };
  dragging(stage, (event, first) => {
    if (first) stage.focus();
    else move(-event.movementX / (stage.getBoundingClientRect().width - LEFT - RIGHT));
  });
  dragging(overview, (event) => {
    const box = overview.getBoundingClientRect();
    centre(((event.clientX - box.left) / box.width) * LAST);
  });

  function hideTip() {
    tip.style.display = 'none';
  }
  const distance = ({ x, y, x2, y2, line }, px, py) => {
    if (!line) return px >= Math.min(x, x2) - 3 && px <= Math.max(x, x2) + 3 && py >= y && py <= y2 ? 0 : Number.POSITIVE_INFINITY;
    const length = (x2 - x) ** 2 + (y2 - y) ** 2 || 1;
    const share = Math.min(1, Math.max(0, ((px - x) * (x2 - x) + (py - y) * (y2 - y)) / length));
    return Math.hypot(px - x - share * (x2 - x), py - y - share * (y2 - y));
  };
  // What is small comes before what is large: marks, violations, arrows, roles, faults.
  const rank = (hit) => (hit.small ? 0 : hit.line ? 2 : hit.area ? (hit.y2 - hit.y <= 2 * BAR ? 1 : 4) : 1);
  stage.addEventListener('pointermove', (event) => {
    if (stage.classList.contains('dragging')) return;
    const box = stage.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let best = null;
    for (const hit of hits) {
      const far = distance(hit, px, py);
      if (far > 5) continue;
      const score = rank(hit) * 10 + far;
      if (best === null || score < best.score) best = { hit, score };
    }
    if (best === null) return hideTip();
    tip.replaceChildren(Object.assign(document.createElement('b'), { textContent: best.hit.when }), best.hit.what);
    tip.style.display = 'block';
    const [wide, high] = [tip.offsetWidth, tip.offsetHeight];
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - wide - 8))}px`;
    tip.style.top = `${event.clientY + 18 + high > innerHeight ? event.clientY - high - 12 : event.clientY + 18}px`;
  });
  stage.addEventListener('pointerleave', hideTip);

  const faultAfter = (sign) => {
    const middle = (view.from + view.to) / 2;
    const starts = scene.faults.map(([, from]) => from).filter((from) => (from - middle) * sign > 1);
    if (starts.length > 0) centre(sign > 0 ? Math.min(...starts) : Math.max(...starts));
  };
  const violation = () => {
    const at = scene.violations[0]?.[0];
    if (at !== undefined) show(at - (view.to - view.from) * 0.97, at + (view.to - view.from) * 0.03);
  };
  const keys = {
    ArrowLeft: () => move(-0.15), ArrowRight: () => move(0.15), '+': () => zoom(0.7), '=': () => zoom(0.7), '-': () => zoom(1 / 0.7),
    ArrowUp: () => zoom(0.7), ArrowDown: () => zoom(1 / 0.7), 0: () => show(0, LAST), v: violation, n: () => faultAfter(1), p: () => faultAfter(-1),
  };
  addEventListener('keydown', (event) => {
    if (event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = keys[event.key];
    if (act === undefined) return;
    event.preventDefault();
    act();
  });

  const chip = (label, colour, count, toggle) => {
    const button = Object.assign(document.createElement('button'), { className: 'chip' });
    button.setAttribute('aria-pressed', 'true');
    button.style.setProperty('--colour', `var(--${colour})`);
    button.append(document.createElement('i'), label, Object.assign(document.createElement('small'), { textContent: count.toLocaleString('en') }));
    button.addEventListener('click', () => {
      const on = button.getAttribute('aria-pressed') !== 'true';
      button.setAttribute('aria-pressed', String(on));
      toggle(on);
      refresh();
    });
    element('filters').append(button);
  };
  scene.groups.forEach((group, at) => {
    const count = scene.arrows.filter((arrow) => arrow[5] === at).length;
    if (count > 0) chip(group, group, count, (on) => { shown.groups[at] = on; });
  });
  chip('marks', 'mark', scene.marks.length, (on) => { shown.marks = on; });
  chip('faults', 'fault', scene.faults.length, (on) => { shown.faults = on; });

  element('title').textContent = scene.title;
  element('copy').textContent = scene.replay;
  element('copy').addEventListener('click', () => navigator.clipboard?.writeText(scene.replay));
  const broken = scene.violations.length > 0;
  element('verdict').textContent = broken ? scene.violations.map(([at, what]) => `${seconds(at)} s  ${what}`).join('\n') : 'Every invariant held.';
  element('verdict').classList.toggle('broken', broken);
  element('violation').disabled = !broken;
  element('violation').addEventListener('click', violation);
  element('all').addEventListener('click', () => show(0, LAST));
  element('fault-before').addEventListener('click', () => faultAfter(-1));
  element('fault-after').addEventListener('click', () => faultAfter(1));
  element('find').addEventListener('input', (event) => {
    wanted = event.target.value.trim().toLowerCase();
    refresh();
  });
  for (const id of ['from', 'to']) {
    element(id).addEventListener('change', () => {
      const [from, to] = ['from', 'to'].map((one) => Number(element(one).value) * 1e6);
      if (Number.isFinite(from) && to > from) show(from, to);
      else refresh();
    });
  }
  readColours();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    readColours();
    refresh();
  });
  new ResizeObserver(refresh).observe(stage);
  refresh();
})();
