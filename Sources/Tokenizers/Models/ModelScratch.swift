/// Memory that the models reuse from word to word: one for each thread.
package struct ModelScratch {
  package init() {}
}
