/** The subscriptions a node has to end with itself. It does not keep them: one that its reader forgot is collected. */
import type { PulledSubscription } from './pulled-subscription.js';

export class OpenSubscriptions {
  readonly #references = new Set<WeakRef<PulledSubscription>>();
  readonly #collected = new FinalizationRegistry<WeakRef<PulledSubscription>>((reference) => this.#references.delete(reference));

  /** Kept track of until it ends. */
  add(subscription: PulledSubscription): void {
    const reference = new WeakRef(subscription);
    this.#references.add(reference);
    this.#collected.register(subscription, reference, reference);
    subscription.onEnd = () => {
      this.#references.delete(reference);
      this.#collected.unregister(reference);
    };
  }

  get size(): number {
    return this.#references.size;
  }

  closeAll(): void {
    for (const reference of [...this.#references]) void reference.deref()?.close();
  }
}
