package {{package}}

import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONObject

/** An image, and what was computed for it where this module was written: `goldens/index.json` of the resources. */
class Golden(
    val name: String,
    val width: Int,
    val height: Int,
    val rgb: ByteArray,
    val tensor: FloatArray,
    val outputs: FloatArray,
    val tolerance: Float,
    val top: List<LabelledScore>,
)

/** All goldens, the one of the network's own size first. */
fun readGoldens(): List<Golden> {
    val entries = JSONObject(resource("index.json").decodeToString()).getJSONArray("goldens")
    return List(entries.length()) { golden(entries.getJSONObject(it)) }
}

private fun golden(entry: JSONObject): Golden {
    val top = entry.getJSONArray("top")
    return Golden(
        name = entry.getString("name"),
        width = entry.getInt("width"),
        height = entry.getInt("height"),
        rgb = resource(entry.getString("rgb")),
        tensor = floats(resource(entry.getString("tensor"))),
        outputs = floats(resource(entry.getString("outputs"))),
        tolerance = entry.getDouble("tolerance").toFloat(),
        top = List(top.length()) { labelledScore(top.getJSONObject(it)) },
    )
}

private fun labelledScore(entry: JSONObject) =
    LabelledScore(entry.getInt("index"), entry.getString("label"), entry.getDouble("score").toFloat())

private fun resource(name: String): ByteArray {
    val stream = checkNotNull(Golden::class.java.getResourceAsStream("/goldens/$name")) { "goldens/$name is missing" }
    return stream.use { it.readBytes() }
}

private fun floats(bytes: ByteArray): FloatArray {
    val numbers = FloatArray(bytes.size / Float.SIZE_BYTES)
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(numbers)
    return numbers
}
