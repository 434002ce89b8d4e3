// An Android library: one image classifier on LiteRT. Include it as README.md says.
plugins {
    id("com.android.library")
}

// From version 9 on, the Android Gradle plugin brings Kotlin along.
check(extensions.findByName("kotlin") != null) {
    "$path: Kotlin is missing. With an Android Gradle plugin below 9, add id(\"org.jetbrains.kotlin.android\") to the plugins above " +
        "and set its JVM target to 11; from 9 on, remove android.builtInKotlin=false."
}

android {
    namespace = "{{package}}"
    compileSdk = 36

    defaultConfig {
        minSdk = {{min_sdk}} // of the LiteRT AAR
        consumerProguardFiles("consumer-rules.pro")
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }

    androidResources {
        noCompress += "tflite" // for this module's own test APK; the app's build file needs the same line
    }
}

dependencies {
    // On the GPU: also com.google.ai.edge.litert:litert-gpu:{{litert_version}}; without it Accelerator.GPU throws.
    api("com.google.ai.edge.litert:litert:{{litert_version}}")
    testImplementation("junit:junit:4.13.2")
}
