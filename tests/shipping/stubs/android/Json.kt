// Of org.json, which Android has and the unit tests take from Maven, what the module's tests call.
package org.json

class JSONObject internal constructor(private val values: Map<String, Any?>) {
    @Suppress("UNCHECKED_CAST")
    constructor(json: String) : this(Reader(json).value() as Map<String, Any?>)

    fun getString(name: String): String = values.getValue(name) as String

    fun getInt(name: String): Int = (values.getValue(name) as Double).toInt()

    fun getDouble(name: String): Double = values.getValue(name) as Double

    fun getJSONArray(name: String): JSONArray = JSONArray(values.getValue(name) as List<*>)
}

class JSONArray internal constructor(private val values: List<*>) {
    fun length(): Int = values.size

    @Suppress("UNCHECKED_CAST")
    fun getJSONObject(index: Int): JSONObject = JSONObject(values[index] as Map<String, Any?>)
}

private class Reader(private val text: String) {
    private var at = 0

    fun value(): Any? {
        blank()
        return when (val sign = text[at]) {
            '{' -> entries('}') { string().also { expect(':') } to value() }.toMap()
            '[' -> entries(']') { value() }
            '"' -> string()
            else -> Regex("true|false|null|[-+.0-9eE]+").matchAt(text, at)!!.value.let { word ->
                at += word.length
                if (sign in "tfn") word.toBooleanStrictOrNull() else word.toDouble()
            }
        }
    }

    private fun <T> entries(end: Char, entry: () -> T): List<T> {
        val found = mutableListOf<T>()
        at++
        while (true) {
            blank()
            if (text[at] == ',') at++ else if (text[at] == end) return found.also { at++ } else found += entry()
        }
    }

    private fun string(): String {
        expect('"')
        val found = StringBuilder()
        while (text[at] != '"') {
            if (text[at] != '\\') {
                found.append(text[at++])
                continue
            }
            when (val escaped = text[at + 1]) {
                'u' -> found.append(text.substring(at + 2, at + 6).toInt(16).toChar()).also { at += 4 }
                else -> found.append(mapOf('n' to '\n', 't' to '\t', 'r' to '\r', 'b' to '\b', 'f' to '\u000c')[escaped] ?: escaped)
            }
            at += 2
        }
        at++
        return found.toString()
    }

    private fun expect(sign: Char) {
        blank()
        check(text[at++] == sign) { "$sign at ${at - 1}" }
    }

    private fun blank() {
        while (text[at].isWhitespace()) at++
    }
}
