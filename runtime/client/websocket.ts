/** A channel over a WebSocket, of a browser or of the package `ws`: they share this interface. */
import { PeerError } from '../../common/errors.ts';
import { MessageChannel } from '../channel.ts';
import { HANDSHAKE_LIMIT } from '../wire.ts';

export interface WebSocketLike {
  binaryType: string;
  send(data: Uint8Array): void;
  close(): void;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
  onerror: (() => void) | null;
}

/** What a peer may send ahead: the handshake never has more than two messages under way, and what is longer is always awaited. */
const UNREAD = { messages: 4, bytes: HANDSHAKE_LIMIT } as const;

/** Wraps an open socket. `timeout` in milliseconds bounds every message. */
export function webSocketChannel(socket: WebSocketLike, peer: string, timeout: number): MessageChannel {
  const channel = new MessageChannel(
    peer,
    timeout,
    (message) => socket.send(message),
    () => socket.close(),
    UNREAD,
  );
  socket.binaryType = 'arraybuffer';
  socket.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) channel.deliver(new Uint8Array(data));
    else
      channel.fail(
        new PeerError(`${peer} sent text where bytes were due`, 'run the same version of secure-infer everywhere'),
      );
  };
  socket.onclose = () => channel.ended();
  socket.onerror = () => channel.ended();
  return channel;
}
