/** What one batch of requests came to, as its clients saw it. */
export interface Batch {
  /** Each message of the batch begins with it. */
  readonly name: string;
  readonly sent: number;
  readonly verified: number;
  /** The numbers of the messages that were replied to, if the client keeps them. */
  readonly answered?: ReadonlySet<string>;
  readonly failures: Readonly<Record<string, number>>;
  readonly repliedTwice: number;
  readonly problems: readonly string[];
}
