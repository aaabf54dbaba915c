import { LRUCache } from 'lru-cache';
import { type DomainContext, KnowledgeKey } from '../../session/feature.js';
import { AccountBook } from './book.js';

/** Bytes of memory for what is known of accounts that are not here. */
const RESTING_BYTES = 4 * 1024 * 1024;

/** The books of all accounts of a domain. */
class Shelf {
  readonly #open = new Map<string, AccountBook>();
  /** Of accounts that have just gone: the store may not have all of it yet. */
  readonly #resting = new LRUCache<string, AccountBook>({
    maxSize: RESTING_BYTES,
    sizeCalculation: (book) => book.size,
  });

  take(domain: string, account: string): AccountBook {
    let book = this.#open.get(account) ?? this.#resting.get(account);
    this.#resting.delete(account);
    book ??= new AccountBook(domain, account);
    this.#open.set(account, book);
    book.sessions += 1;
    return book;
  }

  putBack(book: AccountBook): void {
    book.sessions -= 1;
    if (book.sessions > 0) return;
    this.#open.delete(book.account);
    if (book.isRead) this.#resting.set(book.account, book);
  }
}

const shelfKey = new KnowledgeKey<Shelf>('what accounts have had of rooms', () => new Shelf());

export function shelfOf(domain: DomainContext): Shelf {
  return domain.shared(shelfKey);
}
