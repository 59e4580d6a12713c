/**
 * The page around `<sonic-voice>`. A token comes in the fragment, `#token=...`, which a browser
 * sends to nobody; it is taken out of the address before it can be copied along with it.
 */

import './sonic-voice.js';

const element = document.querySelector('sonic-voice');

function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get('token');
  if (token === null) return;
  fragment.delete('token');
  const rest = fragment.size ? `#${fragment}` : '';
  history.replaceState(history.state, '', location.pathname + location.search + rest);
  element?.setAttribute('token', token);
}

takeToken();
addEventListener('hashchange', takeToken);
