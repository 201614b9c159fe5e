/// Memory that the models reuse from word to word: one for each thread.
package struct ModelScratch {
  var unigram: [UnigramModel.Node] = []
  var bpe = BPEState()
  var path: [Int32] = []
  var pieces = SentencePieceBPE.State()

  package init() {}
}
