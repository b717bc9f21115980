/** How a copy treats the page cache of the host that its source is read through. */
export interface PageCacheCapability {
  /**
   * From now on until `end`, reading leaves the page cache as it was found: what was not cached before is
   * dropped again once read. Undefined where there is nothing to be polite about.
   */
  begin(): Promise<PageCachePass | undefined>;
  /** Write out what has been written and drop all that is cached, so that reading asks the medium. */
  forget?(): Promise<void>;
}

export interface PageCachePass {
  end(): Promise<void>;
}
