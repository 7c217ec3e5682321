#include "worker/metrics/boxes.h"

void boxes_to_centre(const float from[4], float to[4])
{
    float x1 = from[BOX_X1], y1 = from[BOX_Y1], x2 = from[BOX_X2], y2 = from[BOX_Y2];
    to[0] = (x1 + x2) / 2;
    to[1] = (y1 + y2) / 2;
    to[2] = x2 - x1;
    to[3] = y2 - y1;
}

void boxes_to_corners(const float from[4], float to[4])
{
    float x = from[0], y = from[1], w = from[2], h = from[3];
    to[BOX_X1] = x - w / 2;
    to[BOX_Y1] = y - h / 2;
    to[BOX_X2] = x + w / 2;
    to[BOX_Y2] = y + h / 2;
}

static float clamp(float value, float high)
{
    return value < 0 ? 0 : value > high ? high : value;
}

void boxes_clip(float corners[4], int width, int height)
{
    corners[BOX_X1] = clamp(corners[BOX_X1], (float)width);
    corners[BOX_Y1] = clamp(corners[BOX_Y1], (float)height);
    corners[BOX_X2] = clamp(corners[BOX_X2], (float)width);
    corners[BOX_Y2] = clamp(corners[BOX_Y2], (float)height);
}

boxes_placing boxes_letterbox(int input_width, int input_height, int width, int height)
{
    double wide = (double)input_width / width, high = (double)input_height / height, gain = high < wide ? high : wide;
    return (boxes_placing){gain, (input_width - width * gain) / 2, (input_height - height * gain) / 2};
}

void boxes_scale(float *corners, size_t count, size_t step, const boxes_placing *placing, int width, int height)
{
    float gain = (float)placing->gain, pad_x = (float)placing->pad_x, pad_y = (float)placing->pad_y;
    for (size_t i = 0; i < count; i++, corners += step) {
        corners[BOX_X1] = (corners[BOX_X1] - pad_x) / gain;
        corners[BOX_Y1] = (corners[BOX_Y1] - pad_y) / gain;
        corners[BOX_X2] = (corners[BOX_X2] - pad_x) / gain;
        corners[BOX_Y2] = (corners[BOX_Y2] - pad_y) / gain;
        boxes_clip(corners, width, height);
    }
}

static float smaller(float a, float b)
{
    return a < b ? a : b;
}

static float larger(float a, float b)
{
    return a > b ? a : b;
}

float boxes_iou(const float a[4], const float b[4])
{
    float area_a = (a[BOX_X2] - a[BOX_X1]) * (a[BOX_Y2] - a[BOX_Y1]);
    float area_b = (b[BOX_X2] - b[BOX_X1]) * (b[BOX_Y2] - b[BOX_Y1]);
    float w = smaller(a[BOX_X2], b[BOX_X2]) - larger(a[BOX_X1], b[BOX_X1]);
    float h = smaller(a[BOX_Y2], b[BOX_Y2]) - larger(a[BOX_Y1], b[BOX_Y1]);
    float inter = (w < 0 ? 0 : w) * (h < 0 ? 0 : h);
    return inter / (area_a + area_b - inter);
}
