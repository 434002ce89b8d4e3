package {{package}}

/**
 * One class of an image.
 *
 * @property index the class's place in the network's output, from 0.
 * @property label its line in the labels' file.
 * @property score {{score_meaning}}.
 */
public data class LabelledScore(val index: Int, val label: String, val score: Float)

/** The [count] largest of [scores] with their labels, best first; of equal scores, the lower index. */
public fun largestScores(scores: FloatArray, labels: List<String>, count: Int): List<LabelledScore> {
    require(scores.size == labels.size) { "${scores.size} scores for ${labels.size} labels" }
    require(count >= 0) { "count is $count" }
    check(scores.none { it.isNaN() }) { "the network answered something that is not a number" }
    // Not by compareTo, to which 0 and -0 differ.
    val bestFirst = Comparator<Int> { a, b ->
        if (scores[a] > scores[b]) -1 else if (scores[a] < scores[b]) 1 else a - b
    }
    return scores.indices.sortedWith(bestFirst).take(count).map { LabelledScore(it, labels[it], scores[it]) }
}
