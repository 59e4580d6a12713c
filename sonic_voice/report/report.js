// The script of a report: playing from a click, zooming the time axis, and the list of events.
// What it writes from a conversation, it writes as text.
'use strict';

(() => {
  const ROWS_AT_ONCE = 50;
  const ZOOMS = [1, 2, 4, 8, 16];
  const SUMMARY_CHARACTERS = 100;

  /**
   * @template {Element} T
   * @param {ParentNode} root
   * @param {string} selector
   * @param {new () => T} kind
   * @returns {T | null}
   */
  const find = (root, selector, kind) => {
    const found = root.querySelector(selector);
    return found instanceof kind ? found : null;
  };

  /** @param {number} seconds */
  const clock = (seconds) => {
    const whole = Math.floor(seconds);
    const minutes = Math.floor(whole / 60);
    const rest = String(whole % 60).padStart(2, '0');
    return `${minutes}:${rest}.${String(Math.floor((seconds % 1) * 10))}`;
  };

  /**
   * @param {Element} run
   * @param {SVGSVGElement | null} axis
   * @param {() => void} changed
   */
  const connectZoom = (run, axis, changed) => {
    let level = 0;
    const update = () => {
      for (const zoom of ZOOMS) axis?.classList.toggle(`zoom-${zoom}`, zoom === ZOOMS[level]);
      for (const button of run.querySelectorAll('[data-zoom]')) {
        if (button instanceof HTMLButtonElement) {
          button.disabled = level === (button.dataset.zoom === 'in' ? ZOOMS.length - 1 : 0);
        }
      }
      changed();
    };
    for (const button of run.querySelectorAll('[data-zoom]')) {
      if (button instanceof HTMLElement) {
        button.addEventListener('click', () => {
          const step = button.dataset.zoom === 'in' ? 1 : -1;
          level = Math.min(Math.max(level + step, 0), ZOOMS.length - 1);
          update();
        });
      }
    }
    update();
  };

  /**
   * Connects the player of a conversation to its time axis and its turns.
   * @param {Element} run
   * @returns {(seconds: number) => void} Plays from a time.
   */
  const connectPlayer = (run) => {
    const audio = find(run, 'audio', HTMLAudioElement);
    const axis = find(run, '.timeline', SVGSVGElement);
    const head = find(run, '.playhead', SVGLineElement);
    const scroll = find(run, '.scroll', HTMLElement);
    const turns = [...run.querySelectorAll('.turn')].filter((turn) => turn instanceof HTMLElement);
    const duration = Number(axis?.dataset.duration ?? 0);

    /** @param {number} seconds */
    const show = (seconds) => {
      const share = duration ? Math.min(seconds / duration, 1) : 0;
      head?.setAttribute('x1', `${share * 100}%`);
      head?.setAttribute('x2', `${share * 100}%`);
      for (const turn of turns) {
        const { begins, ends } = turn.dataset;
        turn.classList.toggle('now', seconds >= Number(begins) && seconds < Number(ends));
      }
      if (scroll && axis && axis.clientWidth > scroll.clientWidth) {
        const x = share * axis.clientWidth;
        if (x < scroll.scrollLeft || x > scroll.scrollLeft + scroll.clientWidth) {
          scroll.scrollLeft = x - scroll.clientWidth / 4;
        }
      }
    };

    const follow = () => {
      if (audio && !audio.paused) {
        show(audio.currentTime);
        requestAnimationFrame(follow);
      }
    };
    audio?.addEventListener('play', follow);
    for (const event of ['seeked', 'pause', 'timeupdate']) {
      audio?.addEventListener(event, () => show(audio.currentTime));
    }

    /** @param {number} seconds */
    const playFrom = (seconds) => {
      show(seconds);
      if (audio) {
        for (const other of document.querySelectorAll('audio')) {
          if (other !== audio) other.pause();
        }
        audio.currentTime = seconds;
        audio.play().catch(() => {}); // a newer click has interrupted it
      }
    };
    axis?.addEventListener('click', ({ clientX }) => {
      const { left, width } = axis.getBoundingClientRect();
      playFrom(((clientX - left) / width) * duration);
    });
    run.addEventListener('click', ({ target }) => {
      const button = target instanceof Element ? target.closest('[data-at]') : null;
      if (button instanceof HTMLElement) playFrom(Number(button.dataset.at));
    });
    connectZoom(run, axis, () => show(audio?.currentTime ?? 0));
    return playFrom;
  };

  /**
   * @typedef {[number, string, number, string, string]} Row Time, side, stream, event, payload.
   */

  /**
   * @param {string} packed Base64 of deflated JSON.
   * @returns {Promise<Row[]>}
   */
  const unpack = async (packed) => {
    const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
    return JSON.parse(await new Response(stream).text());
  };

  /** @param {string} text */
  const indented = (text) => {
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  };

  /** @param {Node | string} content */
  const cell = (content) => {
    const made = document.createElement('td');
    made.append(content);
    return made;
  };

  /** @param {Row} row */
  const rowElement = ([seconds, side, stream, name, payload]) => {
    const line = document.createElement('tr');
    const play = document.createElement('button');
    play.type = 'button';
    play.className = 'play';
    play.dataset.at = String(seconds);
    play.textContent = clock(seconds);
    const texts = [stream ? `${side} (${stream})` : side, name];
    line.append(cell(play), ...texts.map((text) => cell(text)));
    if (payload.length <= SUMMARY_CHARACTERS) {
      line.append(cell(payload));
    } else {
      const details = document.createElement('details');
      const summary = document.createElement('summary');
      summary.textContent = `${payload.slice(0, SUMMARY_CHARACTERS)}…`;
      const whole = document.createElement('pre');
      details.append(summary, whole);
      details.addEventListener('toggle', () => {
        whole.textContent = details.open ? indented(payload) : '';
      });
      line.append(cell(details));
    }
    return line;
  };

  /** @param {Element} list */
  const connectEvents = async (list) => {
    const data = find(list, '.data', HTMLScriptElement);
    const body = find(list, 'tbody', HTMLTableSectionElement);
    const search = find(list, '[data-search]', HTMLInputElement);
    const side = find(list, '[data-side]', HTMLSelectElement);
    const count = find(list, '.count', HTMLElement);
    const more = find(list, '.more', HTMLButtonElement);
    if (!data || !body || !search || !side || !count || !more) return;
    const rows = await unpack(data.textContent ?? '');
    const texts = rows.map((row) => row.join(' ').toLowerCase());
    /** @type {Row[]} */
    let found = [];
    let shown = 0;
    const showMore = () => {
      const next = found.slice(shown, shown + ROWS_AT_ONCE);
      body.append(...next.map(rowElement));
      shown += next.length;
      more.hidden = shown >= found.length;
    };
    const update = () => {
      const wanted = search.value.toLowerCase();
      found = rows.filter(
        (row, index) =>
          (side.value === 'all' || row[1] === side.value) && texts[index]?.includes(wanted),
      );
      body.replaceChildren();
      shown = 0;
      showMore();
      count.textContent = `${found.length} of ${rows.length} events`;
    };
    search.addEventListener('input', update);
    side.addEventListener('change', update);
    more.addEventListener('click', showMore);
    update();
  };

  const openTarget = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) target.open = true;
  };

  for (const run of document.querySelectorAll('.run')) connectPlayer(run);
  for (const list of document.querySelectorAll('.event-list')) void connectEvents(list);
  addEventListener('hashchange', openTarget);
  openTarget();
})();
