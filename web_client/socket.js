/** A WebSocket of the page, which is abandoned when its connection is. */

/**
 * The callbacks of a socket. `onClosed` is called with null if the socket could not be opened at
 * all: a browser does not tell why.
 *
 * @typedef {{ onOpen: () => void, onFrame: (frame: string | ArrayBuffer) => void,
 *   onClosed: (close: { code: number, reason: string } | null) => void }} SocketCallbacks
 */

/**
 * Open a socket.
 *
 * @param {{ url: URL, protocols: string[] }} address
 * @param {SocketCallbacks} callbacks
 * @param {AbortSignal} signal  closes the socket, after which no callback is called
 */
export function openSocket({ url, protocols }, { onOpen, onFrame, onClosed }, signal) {
  const socket = new WebSocket(url, protocols);
  let opened = false;
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => {
    opened = true;
    onOpen();
  };
  socket.onmessage = ({ data }) => onFrame(data);
  socket.onclose = ({ code, reason }) => onClosed(opened ? { code, reason } : null);
  signal.addEventListener('abort', () => {
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  });
  return socket;
}
