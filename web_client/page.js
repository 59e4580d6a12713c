/**
 * The page around `<sonic-voice>`.
 *
 * A token may be passed in the fragment of the address, `#token=...`, which a browser does not send
 * to any server. It is removed from the address at once, so that it is not copied with it.
 */

import './sonic-voice.js';

const element = document.querySelector('sonic-voice');

/** Move the token from the address to the element. */
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
